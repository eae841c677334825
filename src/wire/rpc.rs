//! JSON-RPC 2.0 envelopes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// Error codes: those of JSON-RPC, and our own from -32001.
pub(crate) mod code {
    /// The line is not JSON.
    pub(crate) const PARSE: i64 = -32700;
    /// The line is JSON but not a request.
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit the method.
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    /// The daemon failed to handle the request.
    pub(crate) const INTERNAL: i64 = -32603;
    /// No such process, program or group.
    pub(crate) const NOT_FOUND: i64 = -32001;
    /// Permission denied.
    pub(crate) const PERMISSION: i64 = -32002;
    /// Not possible in the current state.
    pub(crate) const WRONG_STATE: i64 = -32003;
    /// The config is invalid; `data` lists all problems.
    pub(crate) const INVALID_CONFIG: i64 = -32004;
}

/// A request's id, repeated in its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// A number.
    Number(i64),
    /// A string.
    Text(String),
    /// `null`: valid, but not distinguishable from an error without a request.
    Null,
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of `wire::code`.
    pub code: i64,
    /// One line for people.
    pub message: String,
    /// Details for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Adds structured data.
    pub(crate) fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RpcError {}

/// Any line on the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A call; without an id it is a notification and gets no answer.
    Request {
        /// The request's id; none for a notification.
        id: Option<Id>,
        /// The method's name.
        method: String,
        /// Its parameters; `{}` if absent.
        params: Value,
    },
    /// The answer to the request of this id.
    Answer {
        /// The request's id; none if the request could not be read.
        id: Option<Id>,
        /// Result or error.
        outcome: Result<Value, RpcError>,
    },
}

impl Message {
    /// Reads one line.
    ///
    /// # Errors
    /// An error with the code for the reply, if the line is not JSON or not JSON-RPC 2.0.
    pub fn parse(line: &[u8]) -> Result<Message, RpcError> {
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| RpcError::new(code::PARSE, format!("not JSON: {error}")))?;
        let Value::Object(mut object) = value else {
            return Err(invalid("a request is an object; batches are not supported"));
        };
        if object.get("jsonrpc") != Some(&Value::from("2.0")) {
            return Err(invalid("\"jsonrpc\":\"2.0\" is missing"));
        }
        let is_request = object.contains_key("method");
        let id = match object.remove("id") {
            None => None,
            Some(Value::Null) if !is_request => None,
            Some(id) => Some(serde_json::from_value(id).map_err(|_| {
                invalid("id: expected a whole number of 64 bits, a string or null")
            })?),
        };
        if let Some(error) = object.remove("error") {
            let error = serde_json::from_value(error).map_err(|_| invalid("a broken error"))?;
            return Ok(Message::Answer {
                id,
                outcome: Err(error),
            });
        }
        if let Some(result) = object.remove("result") {
            return Ok(Message::Answer {
                id,
                outcome: Ok(result),
            });
        }
        let Some(Value::String(method)) = object.remove("method") else {
            return Err(invalid("method: a string is missing"));
        };
        let params = match object.remove("params") {
            None | Some(Value::Null) => json!({}),
            Some(params) => params,
        };
        Ok(Message::Request { id, method, params })
    }

    /// Writes it as one line, newline included.
    pub fn to_line(&self) -> Vec<u8> {
        let mut object = json!({"jsonrpc": "2.0"});
        match self {
            Message::Request { id, method, params } => {
                if let Some(id) = id {
                    object["id"] = json!(id);
                }
                object["method"] = json!(method);
                object["params"] = params.clone();
            }
            Message::Answer { id, outcome } => {
                object["id"] = json!(id);
                match outcome {
                    Ok(result) => object["result"] = result.clone(),
                    Err(error) => object["error"] = json!(error),
                }
            }
        }
        let mut line = object.to_string().into_bytes();
        line.push(b'\n');
        line
    }
}

/// The result of a request as JSON. Building a tree of values first would take several times the
/// memory and the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultJson(Vec<u8>);

impl ResultJson {
    /// Writes a result.
    ///
    /// # Errors
    /// When it has no form in JSON.
    pub(crate) fn of(result: &impl Serialize) -> Result<ResultJson, RpcError> {
        let failed = |error| RpcError::new(code::INTERNAL, format!("the reply: {error}"));
        serde_json::to_vec(result).map(ResultJson).map_err(failed)
    }

    /// The answer as one line, newline included.
    pub(crate) fn into_line(self, id: Option<&Id>) -> Vec<u8> {
        let start = format!("{{\"id\":{},\"jsonrpc\":\"2.0\",\"result\":", json!(id));
        let mut line = Vec::with_capacity(start.len() + self.0.len() + 2);
        line.extend_from_slice(start.as_bytes());
        line.extend_from_slice(&self.0);
        line.extend_from_slice(b"}\n");
        line
    }
}

fn invalid(message: &str) -> RpcError {
    RpcError::new(code::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire() {
        let request = Message::Request {
            id: Some(Id::Number(7)),
            method: "status".to_string(),
            params: json!({"targets": ["all"]}),
        };
        assert_eq!(Message::parse(&request.to_line()), Ok(request));
    }

    #[test]
    fn a_result_survives_the_wire() {
        let result = json!({"processes": [], "timed_out": false});
        let json = ResultJson::of(&result).expect("JSON");
        for id in [Id::Number(7), Id::Text("a\"b".to_string())] {
            let answer = Message::Answer {
                id: Some(id.clone()),
                outcome: Ok(result.clone()),
            };
            assert_eq!(json.clone().into_line(Some(&id)), answer.to_line());
        }
    }

    #[test]
    fn large_numbers_survive_the_wire() {
        let text =
            r#"{"jsonrpc":"2.0","id":1,"result":[2088888888888777777776,1844674407370955.1]}"#;
        let once = Message::parse(text.as_bytes()).expect("an answer");
        assert_eq!(Message::parse(&once.to_line()), Ok(once));
    }

    #[test]
    fn an_error_answer_survives_the_wire() {
        let error = RpcError::new(code::NOT_FOUND, "no such process")
            .with_data(json!({"target": "wrker", "suggestion": "worker"}));
        let answer = Message::Answer {
            id: Some(Id::Text("a".to_string())),
            outcome: Err(error),
        };
        assert_eq!(Message::parse(&answer.to_line()), Ok(answer));
    }

    #[test]
    fn null_is_an_id_of_a_request_and_none_of_an_answer() {
        let request = Message::parse(b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"x\"}");
        let Ok(Message::Request { id, .. }) = request else {
            panic!("{request:?}");
        };
        assert_eq!(id, Some(Id::Null));
        let answer = Message::Answer {
            id,
            outcome: Ok(json!(1)),
        };
        let none = Message::Answer {
            id: None,
            outcome: Ok(json!(1)),
        };
        assert_eq!(Message::parse(&answer.to_line()), Ok(none));
    }

    #[test]
    fn what_is_no_request_is_named() {
        let code_of = |line: &str| Message::parse(line.as_bytes()).map_err(|error| error.code);
        assert_eq!(code_of("hello"), Err(code::PARSE));
        assert_eq!(code_of("[]"), Err(code::INVALID_REQUEST));
        assert_eq!(
            code_of("{\"method\":\"status\"}"),
            Err(code::INVALID_REQUEST)
        );
        assert_eq!(
            code_of("{\"jsonrpc\":\"2.0\",\"id\":1}"),
            Err(code::INVALID_REQUEST)
        );
        assert_eq!(
            code_of("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"x\"}"),
            Err(code::INVALID_REQUEST)
        );
    }
}
