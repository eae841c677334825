//! The sources that a foreground `up` waits for: signals, events, output and its reader.

use crate::client::daemon::frames::FrameRead;
use crate::client::daemon::received::parse;
use crate::client::error::ClientError;
use crate::client::ui::event_loop::{FdWatch, Readiness, wait};
use crate::client::verbs::foreground::{Follower, Phase};
use crate::wire::Kind;
use std::time::{Duration, Instant};

/// How long a reader that takes nothing is waited for after a stop of everything.
const LAST_WRITE: Duration = Duration::from_secs(1);

impl Follower<'_> {
    /// Which of signals, events, frames and answers to requests have arrived; whether the reader of
    /// standard output has left, or takes more; and whether the daemon has ended while the reader
    /// takes nothing.
    pub(super) fn wait(&self, until: Option<Instant>) -> Result<[bool; 7], ClientError> {
        // A source that is closed, or not open yet, is not watched.
        let room = !self.output.is_full();
        let events = match &self.events {
            Some(events) if room => FdWatch::readable(events),
            _ => FdWatch::new(&self.signals, false, false),
        };
        let frames = match &self.frames {
            Some(frames) if room => FdWatch::readable(frames.stream()),
            _ => FdWatch::new(&self.signals, false, false),
        };
        let daemon = match &self.daemon {
            Some(daemon) if !room => FdWatch::readable(daemon),
            _ => FdWatch::new(&self.signals, false, false),
        };
        let writable = FdWatch::new(&self.output, false, self.output.is_waiting());
        let answer = match self.shutdowns.last() {
            Some(shutdown) => FdWatch::readable(shutdown),
            None => FdWatch::new(&self.signals, false, false),
        };
        let stdout = std::io::stdout();
        let closed = match self.output.is_watched() {
            true => FdWatch::hang_up(&stdout),
            false => FdWatch::new(&self.signals, false, false),
        };
        let signals = FdWatch::readable(&self.signals);
        let watches = [signals, events, frames, answer, closed, writable, daemon];
        let ready = wait(watches, until);
        let ready = ready.map_err(|error| ClientError::Failed(format!("poll: {error}")))?;
        let writable = ready[5].is_writable() && self.output.is_waiting();
        let mut ready = ready.map(Readiness::is_readable);
        ready[5] = writable;
        Ok(ready)
    }

    /// Writes the last output of this client until a signal. After an earlier one, only as long as
    /// the reader takes some.
    pub(super) fn drain(&mut self) {
        while self.output.is_waiting() && !self.output.is_lost() {
            let stopped = matches!(self.phase, Phase::Stopping | Phase::Killing);
            let signalled = stopped || self.left.is_some();
            let until = signalled.then(|| Instant::now() + LAST_WRITE);
            let watches = [
                FdWatch::readable(&self.signals),
                FdWatch::new(&self.output, false, true),
            ];
            let writable = match wait(watches, until) {
                Ok([signals, output]) => !signals.is_readable() && output.is_writable(),
                Err(_) => false,
            };
            if !writable || self.output.write_some().is_err() {
                self.output.abandon();
            }
        }
    }

    pub(super) fn read_frames(&mut self, out: &mut Vec<u8>) -> Result<(), ClientError> {
        let Some(frames) = &mut self.frames else {
            return Ok(());
        };
        let filled = frames.fill(None);
        while let Some(frame) = frames.next_frame()? {
            // Its notices are events as well.
            if frame.kind != Kind::Notice {
                self.notices.take_frame(&mut self.merger, &frame, out);
            }
        }
        if matches!(filled, FrameRead::End | FrameRead::OutputClosed) {
            self.frames = None;
        }
        Ok(())
    }

    pub(super) fn read_events(&mut self) -> Result<(), ClientError> {
        let Some(mut events) = self.events.take() else {
            return Ok(());
        };
        let received = events.receive();
        while let Some((_, params)) = events.buffered_notification()? {
            self.take_event(&parse(params)?)?;
        }
        match received {
            Ok(()) => self.events = Some(events),
            Err(ClientError::Disconnected) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn read_answers(&mut self) -> Result<(), ClientError> {
        let Some(mut shutdown) = self.shutdowns.pop() else {
            return Ok(());
        };
        match shutdown.receive() {
            // The daemon may exit before it answers.
            Err(ClientError::Disconnected) => return Ok(()),
            received => received?,
        }
        if shutdown.buffered_answer()?.is_none() {
            self.shutdowns.push(shutdown);
        }
        Ok(())
    }
}
