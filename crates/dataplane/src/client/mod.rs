//! A blocking client of the data plane: one call per request, each with a deadline.

mod error;
mod start;
mod stream;

use std::path::Path;
use std::time::Instant;

pub use error::ClientError;

use crate::proto::{
    AttachRequest, AttachedDevice, ClientMessage, DeviceKey, DeviceStatus, DiscoverRequest, DiscoveredTarget,
    ErrorKind, Hello, HostReport, Outcome, PROTOCOL_VERSION, RemoteError, Reply, Request, ServerMessage,
};
use crate::wire;
use crate::{Deadline, Dirs};
use stream::TimedStream;

/// How much longer than the data plane itself a client waits, so that the data plane's own, better error arrives.
const GRACE: std::time::Duration = std::time::Duration::from_millis(500);

/// A conversation with the data plane. One request at a time; open several for concurrent requests.
#[derive(Debug)]
pub struct DataplaneClient {
    stream: TimedStream,
    next_id: u64,
    server: Hello,
    /// Set when an answer may lie half read in the socket.
    broken: bool,
}

impl DataplaneClient {
    /// Connects to the data plane of these directories; `None` when there is none. One that `hold` is just starting
    /// again is waited for: its devices are there all the time.
    ///
    /// # Errors
    /// [`ClientError`] when there is one, but it cannot be talked to, or does not come back before the deadline.
    pub fn connect_existing(dirs: &Dirs, deadline: Deadline) -> Result<Option<Self>, ClientError> {
        loop {
            if let Some(client) = Self::connect_now(dirs, deadline)? {
                return Ok(Some(client));
            }
            if !start::is_held(dirs)? {
                // It may have begun to listen, and `hold` have ended, in between.
                return Self::connect_now(dirs, deadline);
            }
            start::pause(
                dirs,
                deadline,
                "'hold' runs, but the data plane that it restarts does not answer",
            )?;
        }
    }

    /// Connects to a data plane that listens at this moment.
    fn connect_now(dirs: &Dirs, deadline: Deadline) -> Result<Option<Self>, ClientError> {
        match TimedStream::connect(&dirs.socket(), deadline) {
            Ok(stream) => match Self::greet(stream, deadline) {
                Ok(client) => Ok(Some(client)),
                // It ended between our connect and its accept: the same as not being there.
                Err(ClientError::Disconnected { .. }) => Ok(None),
                Err(error) if error.kind() == ErrorKind::ShuttingDown => Ok(None),
                Err(error) => Err(error),
            },
            Err(error) if stream::is_absent(&error) => Ok(None),
            Err(source) => Err(ClientError::Connect {
                socket: dirs.socket(),
                source,
            }),
        }
    }

    /// Connects, and starts `exe hold …` first when there is no data plane. Any number of processes may call this at
    /// once; one data plane comes of it. It goes on when the caller ends, and ends by itself about a second after
    /// its last device and its last client are gone.
    ///
    /// # Errors
    /// [`ClientError::Start`] with the last lines of its log when it does not come up.
    pub fn connect_or_start(dirs: &Dirs, exe: &Path, deadline: Deadline) -> Result<Self, ClientError> {
        start::connect_or_start(dirs, exe, deadline)
    }

    fn greet(stream: TimedStream, deadline: Deadline) -> Result<Self, ClientError> {
        let (major, minor) = PROTOCOL_VERSION;
        let hello = Hello {
            major,
            minor,
            software: software(),
        };
        let mut client = Self {
            stream,
            next_id: 0,
            server: Hello {
                major,
                minor,
                software: String::new(),
            },
            broken: false,
        };
        match client.call(Request::Hello(hello), deadline)? {
            Reply::Hello(server) => client.server = server,
            other => return Err(unexpected("hello", &other)),
        }
        Ok(client)
    }

    /// What the data plane said about itself.
    pub fn server(&self) -> &Hello {
        &self.server
    }

    /// Makes a block device of a LUN, or finds the one that is there. Joins an identical call under way.
    ///
    /// # Errors
    /// [`ClientError::Remote`] with the reason; the deadline bounds the whole operation.
    pub fn attach(
        &mut self,
        request: &AttachRequest,
        deadline: Deadline,
    ) -> Result<AttachedDevice, ClientError> {
        match self.call(Request::Attach(Box::new(request.clone())), deadline)? {
            Reply::Attached(device) => Ok(*device),
            other => Err(unexpected("attach", &other)),
        }
    }

    /// Takes a device away: [`Outcome::AlreadySo`] when there is none of this name. `force` gives up what the target
    /// does not let us flush; it never takes away a device that somebody uses.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] with the holders when somebody uses it; [`ErrorKind::FlushFailed`].
    pub fn detach(
        &mut self,
        device: &DeviceKey,
        force: bool,
        deadline: Deadline,
    ) -> Result<Outcome, ClientError> {
        match self.call(
            Request::Detach {
                device: device.clone(),
                force,
            },
            deadline,
        )? {
            Reply::Detached(outcome) => Ok(outcome),
            other => Err(unexpected("detach", &other)),
        }
    }

    /// Answers everything on a device with EIO from now on; what waits for its target ends. Nothing is written any more.
    ///
    /// # Errors
    /// When the data plane does not answer in time.
    pub fn fail(&mut self, device: &DeviceKey, deadline: Deadline) -> Result<Outcome, ClientError> {
        match self.call(
            Request::Fail {
                device: device.clone(),
            },
            deadline,
        )? {
            Reply::Failed(outcome) => Ok(outcome),
            other => Err(unexpected("fail", &other)),
        }
    }

    /// All devices, sorted by their key.
    ///
    /// # Errors
    /// When the data plane does not answer in time.
    pub fn list(&mut self, deadline: Deadline) -> Result<Vec<DeviceStatus>, ClientError> {
        match self.call(Request::List, deadline)? {
            Reply::Devices(devices) => Ok(devices),
            other => Err(unexpected("list", &other)),
        }
    }

    /// One device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn show(&mut self, device: &DeviceKey, deadline: Deadline) -> Result<DeviceStatus, ClientError> {
        self.one_device(
            Request::Show {
                device: device.clone(),
            },
            "show",
            deadline,
        )
    }

    /// Reads the WWID again through the session that serves the device.
    ///
    /// # Errors
    /// [`ErrorKind::WwidMismatch`] when it is another unit now (the device is fenced then).
    pub fn verify(&mut self, device: &DeviceKey, deadline: Deadline) -> Result<DeviceStatus, ClientError> {
        self.one_device(
            Request::Verify {
                device: device.clone(),
            },
            "verify",
            deadline,
        )
    }

    /// Reads the capacity again; the block device follows it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or that the capacity could not be read or the device not resized.
    pub fn rescan(&mut self, device: &DeviceKey, deadline: Deadline) -> Result<DeviceStatus, ClientError> {
        self.one_device(
            Request::Rescan {
                device: device.clone(),
            },
            "rescan",
            deadline,
        )
    }

    /// Asks a portal which targets it knows (SendTargets).
    ///
    /// # Errors
    /// The kinds of a login's failure.
    pub fn discover(
        &mut self,
        request: &DiscoverRequest,
        deadline: Deadline,
    ) -> Result<Vec<DiscoveredTarget>, ClientError> {
        match self.call(Request::Discover(Box::new(request.clone())), deadline)? {
            Reply::Targets(targets) => Ok(targets),
            other => Err(unexpected("discover", &other)),
        }
    }

    /// What the data plane's process could set up on this host.
    ///
    /// # Errors
    /// When the data plane does not answer in time.
    pub fn host(&mut self, deadline: Deadline) -> Result<HostReport, ClientError> {
        match self.call(Request::Host, deadline)? {
            Reply::Host(report) => Ok(report),
            other => Err(unexpected("host", &other)),
        }
    }

    /// Ends the data plane and `hold` now.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] as long as devices exist.
    pub fn shutdown(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        match self.call(Request::Shutdown, deadline)? {
            Reply::ShuttingDown => Ok(()),
            other => Err(unexpected("shutdown", &other)),
        }
    }

    fn one_device(
        &mut self,
        request: Request,
        what: &'static str,
        by: Deadline,
    ) -> Result<DeviceStatus, ClientError> {
        match self.call(request, by)? {
            Reply::Device(status) => Ok(*status),
            other => Err(unexpected(what, &other)),
        }
    }

    fn call(&mut self, request: Request, deadline: Deadline) -> Result<Reply, ClientError> {
        if self.broken {
            return Err(ClientError::Disconnected {
                reason: "an earlier request was given up half-way".into(),
            });
        }
        let timeout_ms =
            u64::try_from(deadline.saturating_duration_since(Instant::now()).as_millis()).unwrap_or(u64::MAX);
        let id = self.next_id;
        self.next_id += 1;
        let message = ClientMessage {
            id,
            timeout_ms,
            request,
        };
        let answer = self
            .exchange(&message, deadline + GRACE)
            .inspect_err(|_| self.broken = true)?;
        match answer.reply {
            Reply::Error(error) => Err(ClientError::Remote(error)),
            reply => Ok(reply),
        }
    }

    fn exchange(
        &mut self,
        message: &ClientMessage,
        deadline: Deadline,
    ) -> Result<ServerMessage, ClientError> {
        self.stream.set_deadline(deadline);
        wire::send(&mut self.stream, message)?;
        let answer: ServerMessage = wire::receive(&mut self.stream)?;
        if answer.id != message.id {
            return Err(ClientError::Disconnected {
                reason: format!(
                    "the data plane answered request {} instead of {}",
                    answer.id, message.id
                ),
            });
        }
        Ok(answer)
    }
}

/// Name and version of this program, for the other side's error texts.
pub(crate) fn software() -> String {
    concat!("longshore ", env!("CARGO_PKG_VERSION")).to_owned()
}

fn unexpected(to: &str, reply: &Reply) -> ClientError {
    let kind = match serde_json::to_value(reply) {
        Ok(value) => value
            .get("result")
            .and_then(|v| v.as_str())
            .unwrap_or("?")
            .to_owned(),
        Err(_) => "?".to_owned(),
    };
    ClientError::Remote(RemoteError::new(
        ErrorKind::IncompatibleVersion,
        format!("the data plane answered '{to}' with '{kind}'; end it and let this version start its own"),
    ))
}
