//! One client's connection: bounded messages, several requests under way, each with its deadline.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::plane::{Plane, Presence};
use super::translate;
use crate::client::software;
use crate::proto::{
    ClientMessage, ErrorKind, Hello, PROTOCOL_VERSION, RemoteError, Reply, Request, ServerMessage,
};
use crate::wire::{self, WireError};

/// Requests of one connection under way; more wait in the socket.
const MAX_REQUESTS: usize = 32;
/// A client that does not say hello within this time, or does not read its answers, is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest that a request may take, whatever the client says.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// An operation answers by its own deadline; this much later it is given up from outside.
const GRACE: Duration = Duration::from_millis(300);

/// Serves one client until it goes away.
pub(super) async fn serve(plane: Arc<Plane>, stream: UnixStream) {
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(Mutex::new(writer));
    let hello = tokio::time::timeout(PATIENCE, receive(&mut reader)).await;
    let Ok(Ok(first)) = hello else { return };
    let presence = match greet(&plane, &first) {
        Ok((presence, reply)) => {
            if send(&writer, first.id, Ok(reply)).await.is_err() {
                return;
            }
            Arc::new(presence)
        }
        Err(error) => {
            // A client that is refused and does not read why has only itself to blame.
            let _ = send(&writer, first.id, Err(error)).await;
            return;
        }
    };
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match receive(&mut reader).await {
            Ok(message) => {
                let (plane, writer, presence) = (plane.clone(), writer.clone(), presence.clone());
                // On its own: what was begun is finished also when the client goes away.
                tokio::spawn(answer(plane, message, writer, place, presence));
            }
            Err(WireError::Io(_)) => return,
            Err(error) => {
                let refusal = RemoteError::new(ErrorKind::InvalidRequest, error.to_string());
                let _ = send(&writer, 0, Err(refusal)).await;
                return;
            }
        }
    }
}

fn greet(plane: &Arc<Plane>, first: &ClientMessage) -> Result<(Presence, Reply), RemoteError> {
    let Request::Hello(theirs) = &first.request else {
        return Err(RemoteError::new(
            ErrorKind::InvalidRequest,
            "a conversation begins with 'hello'",
        ));
    };
    let (major, minor) = PROTOCOL_VERSION;
    if theirs.major != major {
        let older = if theirs.major < major {
            theirs.software.as_str()
        } else {
            "the data plane"
        };
        let text = format!(
            "{} speaks version {} of the protocol, the running data plane ({}) version {major}; {older} is older: \
             detach all volumes so that it ends, or use the same version",
            theirs.software,
            theirs.major,
            software()
        );
        return Err(RemoteError::new(ErrorKind::IncompatibleVersion, text));
    }
    let presence = plane.presence(true)?;
    Ok((
        presence,
        Reply::Hello(Hello {
            major,
            minor,
            software: software(),
        }),
    ))
}

async fn answer(
    plane: Arc<Plane>,
    message: ClientMessage,
    writer: Arc<Mutex<OwnedWriteHalf>>,
    _place: OwnedSemaphorePermit,
    _presence: Arc<Presence>,
) {
    let ClientMessage {
        id,
        timeout_ms,
        request,
    } = message;
    let deadline = Instant::now() + Duration::from_millis(timeout_ms).min(LONGEST);
    let work = tokio::spawn(async move { plane.handle(request, deadline).await });
    let result = match tokio::time::timeout_at((deadline + GRACE).into(), work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(RemoteError::new(
            ErrorKind::Other,
            "the request broke off; dataplane.log has the reason",
        )),
        Err(_) => Err(translate::late(
            "the operation (it goes on, and the next call finds its result)",
        )),
    };
    if let Err(error) = send(&writer, id, result).await {
        tracing::debug!(%error, "a client did not take its answer");
    }
}

async fn receive(reader: &mut OwnedReadHalf) -> Result<ClientMessage, WireError> {
    let len = wire::body_len(u64::from(reader.read_u32().await?))?;
    let mut body = Zeroizing::new(vec![0; len as usize]);
    reader.read_exact(&mut body).await?;
    // A kind of request that only a newer client knows is answered, not dropped.
    serde_json::from_slice(&body).or_else(|error| {
        let id = serde_json::from_slice::<Numbered>(&body).map_err(|_| error)?.id;
        Ok(ClientMessage {
            id,
            timeout_ms: 0,
            request: Request::Unknown,
        })
    })
}

/// The part of a message that never changes.
#[derive(serde::Deserialize)]
struct Numbered {
    id: u64,
}

async fn send(writer: &Mutex<OwnedWriteHalf>, id: u64, result: Result<Reply, RemoteError>) -> io::Result<()> {
    let reply = result.unwrap_or_else(Reply::Error);
    let bytes = wire::encode(&ServerMessage { id, reply }).map_err(io::Error::other)?;
    let mut writer = writer.lock().await;
    let written = tokio::time::timeout(PATIENCE, writer.write_all(&bytes)).await;
    written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
