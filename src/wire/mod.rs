//! What travels over the control socket: JSON-RPC 2.0 lines, and frames after `attach` and
//! `logs` have switched a connection. `docs/protocol.md` is the description for others.
//!
//! Every addition gets a line here, so that an old peer can be reasoned about:
//!
//! * protocol 1: hello status start stop restart signal send reload scale why wait events logs
//!   attach detach clients peek doctor shutdown; frames 1 to 12.

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
pub use frame::{Frame, FrameDecoder, FrameError, HEADER_LEN, Kind, PAYLOAD_MAX, flags};
pub use line::{LINE_MAX, LineDecoder, LineError};
pub use process_state::ProcessState;
pub use reply::{
    ActReply, AttachReply, ChangeInfo, ClientInfo, ClientsReply, DetachReply, DoctorCheck,
    DoctorReply, EventInfo, EventsReply, ExitInfo, HelloReply, LogLine, LogsReply, Outcome,
    PeekReply, PlanEntryInfo, PlanReply, ProcessStatus, RoleInfo, SendReply, SourceInfo,
    StatusReply, WhyReply,
};
pub use rpc::{Id, Message, RpcError, code};

/// The protocol's version; grows when an old peer could misread something.
pub const PROTOCOL: u32 = 1;

/// What this build can do beyond the verbs of protocol 1, as told in `hello`.
pub const FEATURES: [&str; 3] = ["frames", "snapshot", "events"];
