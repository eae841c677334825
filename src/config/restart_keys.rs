//! Reads the map `restart`: the delays of automatic starts.

use super::diagnostics::shown;
use super::keys;
use super::lowering_context::{Lowering, Value};
use super::node::NodeKind;
use crate::supervisor::RestartDelays;
use std::time::Duration;

/// Most restarts that may follow each other without a delay.
const BURST_MAX: u32 = 100;

/// The least `max_delay`: below, a process could be restarted in a busy loop.
const MAX_DELAY_LEAST: Duration = Duration::from_secs(1);

pub(super) fn delays(cx: &mut Lowering, value: &Value) -> Option<RestartDelays> {
    if let NodeKind::Scalar(scalar) = &value.node.kind {
        let text = scalar.text.as_str();
        let help = match scalar.is_null() {
            true => keys::map_help(&value.key, value.node, &keys::RESTART),
            false => keys::restart_policy(text).to_string(),
        };
        let message = format!("expected a map, found {}", shown(text));
        return cx.refuse(value, message, Some(&help));
    }
    let mut delays = RestartDelays::default();
    let table = cx.table(value, &keys::RESTART)?;
    let initial = table.find("initial_delay");
    if let Some(found) = initial.as_ref().and_then(|value| cx.duration(value)) {
        delays.initial = found;
    }
    if let Some(found) = table
        .find("burst")
        .and_then(|value| cx.integer(&value, 0, BURST_MAX))
    {
        delays.burst = found;
    }
    if let Some(value) = table.find("max_delay")
        && let Some(found) = cx.duration(&value)
    {
        delays.max = found;
        if found < MAX_DELAY_LEAST {
            let message = "a delay below 1s would restart in a busy loop";
            cx.refuse::<()>(&value, message, Some("write at least 1s"));
        }
    }
    if let Some(found) = table
        .find("backoff_factor")
        .and_then(|value| number(cx, &value, 1.0, 100.0))
    {
        delays.factor = found;
    }
    if let Some(found) = table
        .find("jitter")
        .and_then(|value| number(cx, &value, 0.0, 1.0))
    {
        delays.jitter = found;
    }
    if let Some(value) = initial
        && delays.initial > delays.max
    {
        let message = "`initial_delay` is longer than `max_delay`";
        return cx.refuse(&value, message, Some("raise max_delay, or lower it"));
    }
    Some(delays)
}

/// A number such as `1.5` within bounds, both included.
fn number(cx: &mut Lowering, value: &Value, least: f64, most: f64) -> Option<f64> {
    let text = cx.text(value, "a number")?;
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(number) if digits && (least..=most).contains(&number) => Some(number),
        Ok(_) if digits => {
            let message = format!("{} is out of range ({least} to {most})", shown(&text));
            cx.refuse(value, message, None)
        }
        _ => cx.refuse(value, format!("{}: not a number", shown(&text)), None),
    }
}
