//! A daemon that sends what a test wants, when it wants.

use crate::consoles::Console;
use crate::support::{PATIENCE, Terminal, command, folder};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use taskmaster::wire::{FrameDecoder, Kind};

/// The listening socket that a client connects to.
pub struct Listener {
    folder: tempfile::TempDir,
    listener: UnixListener,
}

/// One connection, switched to frames.
pub struct FalseDaemon {
    stream: UnixStream,
    frames: FrameDecoder,
    _folder: tempfile::TempDir,
}

impl FalseDaemon {
    /// A client that is about to attach to `full:0`.
    pub fn client() -> (Console, Listener) {
        let folder = folder();
        let socket = folder.path().join("tmd.sock");
        let listener = UnixListener::bind(&socket).expect("a free path");
        let mut shell = command("sh", folder.path());
        let script = "read -r go; tm attach full:0; echo \"over: $?.\"; read -r end";
        shell.args(["-c", script]).env("TM_SOCKET", socket);
        let console = Console::begin(Terminal::spawn_command(&shell, 24, 80));
        (console, Listener { folder, listener })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        // A client may be gone by now.
        let _ = self.stream.write_all(bytes);
    }

    /// Waits for a frame of this kind.
    pub fn expect(&mut self, kind: Kind) {
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = self.frames.next_frame().expect("frames") {
                if frame.kind == kind {
                    return;
                }
            }
            let count = self.stream.read(&mut buffer).expect("frames in time");
            assert!(count > 0, "the client is gone");
            self.frames.push(&buffer[..count]);
        }
    }
}

impl Listener {
    /// Answers the first two requests as a daemon does.
    pub fn accept(self, redraws: bool) -> FalseDaemon {
        let (mut stream, _) = self.listener.accept().expect("the client connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut reader = BufReader::new(stream.try_clone().expect("a descriptor is free"));
        let hello = json!({"name": "tmd", "version": "9", "protocol": 1, "features": ["frames"],
            "pid": 1, "config": "", "uid": 0, "started_at": "", "shutting_down": false});
        let attach = json!({"process": "full:0", "tty": true, "input": true, "pid": 1,
            "state": "RUNNING", "driver": true, "redraws": redraws});
        for result in [hello, attach] {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a request");
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let answer = json!({"jsonrpc": "2.0", "id": request["id"], "result": result});
            let line = format!("{answer}\n");
            stream.write_all(line.as_bytes()).expect("the client reads");
        }
        let mut frames = FrameDecoder::default();
        frames.push(reader.buffer());
        FalseDaemon {
            stream,
            frames,
            _folder: self.folder,
        }
    }
}
