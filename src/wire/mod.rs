//! The protocol of the control socket: JSON-RPC 2.0 lines, and frames after `attach` and `logs`
//! have switched a connection. `docs/protocol.md` describes it for other clients.
//!
//! Each addition gets a line here, which shows what an old peer knows:
//!
//! * protocol 1: hello status start stop restart signal send reload scale why wait events logs
//!   attach detach clients peek doctor shutdown; frames 1 to 12.
//! * `ended` in the result of attach.
//! * `next_start` of a change in a plan; `output_end` of an event; the event
//!   `stragglers_signalled`.

mod call;
mod frame;
mod line;
mod params;
mod process_state;
mod reply;
mod rpc;

pub use call::{
    Access, ActParams, AttachParams, Call, DetachParams, EventsParams, HelloParams, LogsParams,
    METHODS, PeekParams, ProcessParams, ReloadParams, ScaleParams, SendParams, ShutdownParams,
    SignalParams, TargetsParams, WaitFor, WaitParams,
};
pub use frame::{
    END_REMOVED, Frame, FrameDecoder, FrameError, HEADER_LEN, Kind, PAYLOAD_MAX, flags,
};
pub(crate) use line::LINE_MAX;
pub use line::{LineDecoder, LineError};
pub use process_state::ProcessState;
pub use reply::{
    ActReply, AttachReply, ChangeInfo, ClientInfo, ClientsReply, DetachReply, DoctorCheck,
    DoctorReply, EventInfo, EventsReply, ExitInfo, HelloReply, LogLine, LogsReply, Outcome,
    PeekReply, PlanEntryInfo, PlanReply, ProcessStatus, RoleInfo, SendReply, SourceInfo,
    StatusReply, WhyReply,
};
pub use rpc::{Id, Message, RpcError};
pub(crate) use rpc::{ResultJson, code};

/// The protocol's version. It grows with a change that an old peer could misread.
pub(crate) const PROTOCOL: u32 = 1;

/// Features of this build beyond the verbs of protocol 1, reported by `hello`.
pub(crate) const FEATURES: [&str; 3] = ["frames", "snapshot", "events"];
