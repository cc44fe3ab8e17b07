//! One publisher's connection: the socket's and TLS's bytes through the sans-IO session, under deadlines.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use media::probe::Hints;
use media::{SourceStamp, Track, VideoCodec};
use rtmp::{
    AudioKind, AudioTag, ConnectRequest, Event, FrameType, Limits, MediaKind, RefusalCode, ServerSession,
    SessionError, Stage, VideoCodecId, VideoKind, VideoTag,
};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info, warn};

use super::Shared;
use crate::clock;
use crate::feed::source::Input;
use crate::feed::status::PublisherStatus;
use crate::feed::{Claim, Refusal};
use crate::pace::Connection;

/// Bytes asked of the socket at a time: most coded pictures fit. The session queues what one read causes.
const READ_BYTES: usize = 64 * 1024;
/// Likewise before it publishes: a handshake's part is 1537 bytes, and a command's some hundred.
const KNOCK_BYTES: usize = 8 * 1024;
/// Longest time in which a peer must take an answer of ours; they are a few hundred bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a turned-away peer's own bytes are still read and dropped, so that closing does not send a TCP reset that
/// would throw away the refusal before its encoder has read it.
const LINGER: Duration = Duration::from_millis(500);
/// What an address that was refused too often is told.
const BARRED: &str = "too many refusals for this address; wait a minute, then check key and URL";
/// Longest name of an encoder that is shown.
const MAX_ENCODER_CHARS: usize = 64;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The encoder stopped publishing and closed.
    Finished,
    /// The encoder closed without having published.
    Left,
    /// Its feed ended the publish, for this reason.
    Dismissed(String),
    /// It was refused.
    Refused(&'static str),
    /// Too many refusals from its address.
    Barred,
    /// TLS could not be agreed on.
    Tls(std::io::Error),
    /// It broke a rule of the protocol.
    Protocol(SessionError),
    /// The socket failed.
    Socket(std::io::Error),
    /// It did not come to an end of this step in time.
    Deadline(&'static str, Duration),
    /// The appliance stops.
    Stopping,
}

impl End {
    /// A word from a closed list, for a metric's label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Dismissed(_) => "dismissed",
            Self::Refused(_) => "refused",
            Self::Barred => "barred",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
            Self::Socket(_) => "socket",
            Self::Deadline(..) => "deadline",
            Self::Stopping => "stopping",
        }
    }

    /// Whether this is the ordinary course of things, or told elsewhere already.
    #[must_use]
    pub const fn is_expected(&self) -> bool {
        matches!(self, Self::Finished | Self::Left | Self::Dismissed(_) | Self::Stopping)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the encoder finished"),
            Self::Left => f.write_str("the encoder left without publishing"),
            Self::Dismissed(reason) => write!(f, "dismissed: {reason}"),
            Self::Refused(label) => write!(f, "refused: {label}"),
            Self::Barred => f.write_str("too many refusals from this address within a minute"),
            Self::Tls(fault) => {
                write!(f, "the TLS handshake failed ({fault}); is it plain RTMP on the RTMPS port?")
            }
            Self::Protocol(fault) => write!(f, "{fault}"),
            Self::Socket(fault) => write!(f, "the connection broke: {fault}"),
            Self::Deadline(step, bound) => write!(f, "no {step} within {bound:?}"),
            Self::Stopping => f.write_str("the appliance stops"),
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    /// Its address.
    pub(super) peer: SocketAddr,
    /// The connection's number among those of this run of the daemon, for the log.
    pub(super) session: u64,
}

/// Runs a connection to its end.
pub(super) async fn drive(
    socket: TcpStream,
    who: Who,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
) -> End {
    let accepted = clock::now();
    let socket = Connection::Awaited(socket);
    let Some(tls) = tls else { return talk(socket, who, false, accepted, shared).await };
    let bound = shared.config.handshake_timeout;
    match tokio::time::timeout(bound, TlsAcceptor::from(tls).accept(socket)).await {
        Ok(Ok(stream)) => talk(stream, who, true, accepted, shared).await,
        Ok(Err(fault)) => End::Tls(fault),
        Err(_) => End::Deadline("TLS handshake", bound),
    }
}

async fn talk<S>(stream: S, who: Who, tls: bool, accepted: Instant, shared: Arc<Shared>) -> End
where
    S: Stream,
{
    let mut talk = Talk {
        stream,
        session: ServerSession::new(Limits::default()),
        who,
        tls,
        encoder: String::new(),
        can_reconnect: false,
        claim: None,
        published: false,
        stopping: shared.stopping.clone(),
        shared,
        accepted,
        handshaken: accepted,
        heard: accepted,
        alarm: None,
    };
    let media = talk.shared.feeds.media().clone();
    match talk.knock().await {
        // Media is heard where it passes through; what it took to get there was strangers' work for the other threads.
        Ok(()) => media.spawn(talk.publish_media()).await.unwrap_or_else(|fault| End::Socket(fault.into())),
        Err(end) => talk.close(end).await,
    }
}

struct Talk<S> {
    stream: S,
    shared: Arc<Shared>,
    session: ServerSession,
    who: Who,
    tls: bool,
    encoder: String,
    /// Whether the encoder obeys a request to connect anew.
    can_reconnect: bool,
    claim: Option<Claim>,
    published: bool,
    stopping: watch::Receiver<bool>,
    accepted: Instant,
    handshaken: Instant,
    /// When it last sent media, or was let in.
    heard: Instant,
    /// At a deadline, or before it.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// What woke a connection.
enum Woken {
    Read(std::io::Result<usize>),
    Dismissed(String),
    Alarm,
    Stopping,
}

/// A connection, under TLS or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket.
    fn connection(&mut self) -> &mut Connection;
}

impl Stream for Connection {
    fn connection(&mut self) -> &mut Connection {
        self
    }
}

impl Stream for TlsStream<Connection> {
    fn connection(&mut self) -> &mut Connection {
        self.get_mut().0
    }
}

impl<S: Stream> Talk<S> {
    /// Until it may publish.
    async fn knock(&mut self) -> Result<(), End> {
        let mut buffer = vec![0; KNOCK_BYTES];
        while !self.published {
            self.hear(&mut buffer).await?;
        }
        Ok(())
    }

    /// From then on. Timers belong to the runtime that they were made on, so the socket is paced here and not before.
    async fn publish_media(mut self) -> End {
        self.alarm = None;
        let end = match self.stream.connection().pace() {
            Ok(()) => self.hear_all().await,
            Err(fault) => End::Socket(fault),
        };
        self.close(end).await
    }

    async fn hear_all(&mut self) -> End {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Err(end) = self.hear(&mut buffer).await {
                return end;
            }
        }
    }

    async fn close(mut self, end: End) -> End {
        self.release();
        self.say_goodbye().await;
        end
    }

    /// Takes what comes next, and does what follows from it.
    async fn hear(&mut self, buffer: &mut [u8]) -> Result<(), End> {
        let (step, since, bound) = self.deadline();
        let now = clock::now();
        let left = bound.saturating_sub(now.saturating_duration_since(since));
        // Who always has something to say is not asked below whether it is overdue.
        if left.is_zero() && self.session.stage() != Stage::Publishing {
            return Err(End::Deadline(step, bound));
        }
        // Media moves the deadline on, many times a second; an alarm that goes off before it is set to it then.
        let due = (now + left).into();
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if alarm.is_elapsed() || alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        // In this order: a connection that was held back by its own feed has bytes to read, and is not overdue.
        let woken = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stop| *stop) => Woken::Stopping,
            reason = dismissal(&mut self.claim) => Woken::Dismissed(reason),
            read = self.stream.read(buffer) => Woken::Read(read),
            () = alarm => Woken::Alarm,
        };
        let read = match woken {
            Woken::Read(Ok(0)) => return Err(if self.published { End::Finished } else { End::Left }),
            Woken::Read(Ok(bytes)) => bytes,
            // Encoders that have unpublished close with our answers unread, which resets the connection.
            Woken::Read(Err(_)) if self.published && self.claim.is_none() => return Err(End::Finished),
            Woken::Read(Err(fault)) => return Err(End::Socket(fault)),
            Woken::Dismissed(reason) => {
                match self.shared.feeds.is_stopping() {
                    true => self.send_away(RefusalCode::Rejected, &reason),
                    false => self.session.end(RefusalCode::Rejected, &reason),
                }
                return Err(End::Dismissed(reason));
            }
            Woken::Alarm if clock::now().saturating_duration_since(since) < bound => return Ok(()),
            Woken::Alarm => return Err(End::Deadline(step, bound)),
            Woken::Stopping => {
                self.send_away(RefusalCode::Failed, &Refusal::Stopping.to_string());
                return Err(End::Stopping);
            }
        };
        self.shared.metrics.bytes.inc_by(u64::try_from(read).unwrap_or(u64::MAX));
        // Events from before a fault are still good: media of a publish is not lost to what follows it.
        let fault = self.session.input(buffer.get(..read).unwrap_or_default()).err();
        if let Some(end) = self.take_events().await {
            return Err(end);
        }
        if let Some(fault) = fault {
            return Err(End::Protocol(fault));
        }
        if let Err(end) = self.flush().await {
            // Encoders unpublish and are gone, without waiting for the answers.
            return Err(if self.published && self.claim.is_none() { End::Finished } else { end });
        }
        if self.session.is_closing() {
            return Err(End::Left);
        }
        // Behind what was read: whatever kept us from reading is not the encoder's silence. Who sends pings and no media is
        // silent all the same, and would hold its feed on the slate.
        let (step, since, bound) = self.deadline();
        let overdue = clock::now().saturating_duration_since(since) >= bound;
        if overdue && self.session.stage() == Stage::Publishing {
            return Err(End::Deadline(step, bound));
        }
        Ok(())
    }

    /// Before the daemon goes down. An encoder that can is asked to connect anew; an error would end its publish, which
    /// some do not begin again by themselves.
    fn send_away(&mut self, code: RefusalCode, reason: &str) {
        match self.can_reconnect {
            true => self.session.request_reconnect(None, reason),
            false => self.session.end(code, reason),
        }
    }

    /// What is awaited now, since when, and how long.
    fn deadline(&self) -> (&'static str, Instant, Duration) {
        let config = &self.shared.config;
        match self.session.stage() {
            Stage::Handshake => ("RTMP handshake", self.accepted, config.handshake_timeout),
            Stage::Publishing => ("media", self.heard, config.idle_timeout),
            _ => ("publish", self.handshaken, config.publish_timeout),
        }
    }

    async fn take_events(&mut self) -> Option<End> {
        while let Some(event) = self.session.poll_event() {
            let taken = match event {
                Event::HandshakeDone => {
                    self.handshaken = clock::now();
                    Ok(())
                }
                Event::Connect(request) => self.connect(&request),
                Event::Publish { key, .. } => self.publish(key.as_bytes()),
                Event::Metadata(metadata) => {
                    let hints = Hints {
                        frame_rate: metadata.frame_rate,
                        has_video: metadata.has_video,
                        has_audio: metadata.has_audio,
                    };
                    self.hand_over(Input::Hints(hints)).await;
                    Ok(())
                }
                Event::Video(tag) => self.video(tag).await,
                Event::Audio(tag) => self.audio(tag).await,
                Event::Unsupported { media, name } => {
                    let track = match media {
                        MediaKind::Video => Track::Video,
                        MediaKind::Audio => Track::Audio,
                    };
                    self.hand_over(Input::Unsupported { track, codec: printable(&name) }).await;
                    Ok(())
                }
                Event::PublishEnded(how) => {
                    debug!(session = self.who.session, peer = %self.who.peer, ?how, "unpublished");
                    // It may publish again, in as long as it had for the first time.
                    self.handshaken = clock::now();
                    self.release();
                    Ok(())
                }
                Event::Warning(warning) => {
                    debug!(session = self.who.session, peer = %self.who.peer, %warning, "odd encoder");
                    Ok(())
                }
            };
            if let Err(end) = taken {
                return Some(end);
            }
        }
        None
    }

    fn connect(&mut self, request: &ConnectRequest) -> Result<(), End> {
        self.encoder = printable(&request.flash_ver);
        self.can_reconnect = request.can_reconnect;
        if self.shared.is_barred(self.who.peer) {
            self.shared.metrics.refused("barred");
            self.session.refuse_connect(BARRED);
            return Err(End::Barred);
        }
        let expected = &self.shared.config.application;
        if request.app != *expected {
            self.shared.count_refusal(self.who.peer, "unknown_application");
            let reason = format!(
                "there is no application \"{}\" here; end the server's URL in /{expected}",
                printable(&request.app)
            );
            self.session.refuse_connect(&reason);
            return Err(End::Refused("unknown_application"));
        }
        self.session.accept_connect().map_err(End::Protocol)
    }

    fn publish(&mut self, key: &[u8]) -> Result<(), End> {
        if self.shared.is_barred(self.who.peer) {
            self.shared.metrics.refused("barred");
            self.session.refuse_publish(RefusalCode::Denied, BARRED);
            return Err(End::Barred);
        }
        let who = PublisherStatus {
            address: self.who.peer.to_string(),
            session: self.who.session,
            tls: self.tls,
            encoder: self.encoder.clone(),
            since_unix_millis: clock::unix_millis(),
        };
        match self.shared.feeds.admit(clock::now(), key, who) {
            Ok(claim) => {
                let Who { peer, session } = self.who;
                info!(feed = claim.feed_name(), session, %peer, tls = self.tls, "publisher admitted");
                self.claim = Some(claim);
                self.published = true;
                self.heard = clock::now();
                self.shared.metrics.publishing.inc();
                self.session.accept_publish().map_err(End::Protocol)
            }
            Err(refusal) => {
                self.shared.count_refusal(self.who.peer, refusal.label());
                if let Some(suppressed) = self.shared.admit_line(refusal.label()) {
                    let Who { peer, session } = self.who;
                    warn!(session, %peer, %refusal, suppressed, "publish refused");
                }
                self.session.refuse_publish(RefusalCode::BadName, &refusal.to_string());
                Err(End::Refused(refusal.label()))
            }
        }
    }

    async fn video(&mut self, tag: VideoTag) -> Result<(), End> {
        let codec = match tag.codec {
            VideoCodecId::Avc => VideoCodec::H264,
            VideoCodecId::Hevc => VideoCodec::Hevc,
            VideoCodecId::Av1 => VideoCodec::Av1,
        };
        let input = match tag.kind {
            VideoKind::Configuration(record) => Input::VideoConfiguration { codec, record },
            VideoKind::Picture(payload) => Input::Video {
                stamp: SourceStamp {
                    millis: tag.timestamp_millis,
                    nanos: tag.nanos,
                    composition_millis: tag.composition_millis,
                },
                key: tag.frame == FrameType::Key,
                payload,
            },
            VideoKind::End => return Ok(()),
        };
        let is_media = matches!(input, Input::Video { .. });
        self.hand_over(input).await;
        self.note_heard(is_media);
        Ok(())
    }

    async fn audio(&mut self, tag: AudioTag) -> Result<(), End> {
        let input = match tag.kind {
            AudioKind::Configuration(record) => Input::AudioConfiguration(record),
            AudioKind::Frame(payload) => Input::Audio {
                stamp: SourceStamp { millis: tag.timestamp_millis, nanos: tag.nanos, composition_millis: 0 },
                payload,
            },
        };
        let is_media = matches!(input, Input::Audio { .. });
        self.hand_over(input).await;
        self.note_heard(is_media);
        Ok(())
    }

    /// Behind its handing over, which may have waited for long.
    fn note_heard(&mut self, is_media: bool) {
        if is_media {
            self.heard = clock::now();
        }
    }

    /// Waits while the feed's queue is full; the socket is not read meanwhile. A feed that takes no more has a reason,
    /// which comes as the claim's dismissal.
    async fn hand_over(&mut self, input: Input) {
        if let Some(claim) = &self.claim {
            claim.send(input).await;
        }
    }

    fn release(&mut self) {
        if self.claim.take().is_some() {
            self.shared.metrics.publishing.dec();
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let Some(first) = self.session.poll_output() else { return Ok(()) };
        let write = async {
            let mut next = Some(first);
            while let Some(bytes) = next {
                self.stream.write_all(&bytes).await?;
                next = self.session.poll_output();
            }
            self.stream.flush().await
        };
        match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err(End::Socket(fault)),
            Err(_) => Err(End::Deadline("reader of our answers", WRITE_TIMEOUT)),
        }
    }

    /// Sends what is still to be said, and closes so that it arrives.
    async fn say_goodbye(&mut self) {
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let mut dropped = BytesMut::with_capacity(READ_BYTES);
        let drain = async {
            while matches!(self.stream.read_buf(&mut dropped).await, Ok(read) if read > 0) {
                dropped.clear();
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

async fn dismissal(claim: &mut Option<Claim>) -> String {
    match claim {
        Some(claim) => claim.dismissed().await,
        None => std::future::pending().await,
    }
}

/// A peer's own words, fit for a log and a page.
fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_ENCODER_CHARS).collect()
}
