//! The task of one feed: waits for a publisher, runs its presentation, and does what the state machine asks for.

mod recording;
mod shown;
mod slate;
mod sound;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};
use worker_protocol::DeviceId;

use crate::clock;
use crate::config;
use crate::devices::{Devices, Share};
use crate::feed::admission::EndRequest;
use crate::feed::presentation::{Action, Opening, Presentation, Role, SourceId};
use crate::feed::publishers::Publishers;
use crate::feed::resume::{self, Pace};
use crate::feed::source::Input;
use crate::feed::status::{FeedState, FeedStatus, WorkerStatus};
use crate::feed::{Ended, Feed, Publisher, metrics};
use crate::pace;
use crate::store::{self, NewPresentation, Store};
use crate::supervisor::{self, Worker};
use crate::telemetry::chain;
pub(super) use slate::SlateFile;
use worker::next_event;

/// How often a presentation is let see time pass.
const TICK_BEATS: u64 = pace::beats(Duration::from_millis(100));
/// How many ticks between two published states.
const TICKS_PER_STATUS: u32 = 5;
/// What has come is taken so many at a time, before all else that a programme waits for is looked at again: that costs as
/// much as any of it. At 30 pictures a second four come at a time, of four rungs; a second of them is 120.
const AT_ONCE: usize = 32;

/// Longest time from a presentation's end to its manifest's.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts of the daemon that feeds work with.
#[derive(Clone)]
pub struct Parts {
    /// Where segments go.
    pub store: Store,
    /// How workers are run.
    pub worker: config::Worker,
    /// What they run on.
    pub devices: Devices,
    /// What a source may be.
    pub limits: config::SourceLimits,
    /// Where feeds run.
    pub media: tokio::runtime::Handle,
    /// Counters of feeds.
    pub metrics: metrics::Metrics,
    /// Counters of workers.
    pub worker_metrics: supervisor::metrics::Metrics,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The task of one feed.
pub(super) struct Task {
    pub(super) feed: Arc<Feed>,
    pub(super) parts: Parts,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) removed: watch::Receiver<bool>,
    pub(super) slate: SlateFile,
}

/// The status of a feed that nobody publishes to.
#[must_use]
pub fn idle_status(config: &config::Feed) -> FeedStatus {
    FeedStatus {
        name: config.name.clone(),
        title: config.title.clone(),
        state: FeedState::Idle,
        presentation: None,
        dash_url: format!("/live/{}/manifest.mpd", config.name),
        hls_url: format!("/live/{}/master.m3u8", config.name),
        publisher: None,
        source: None,
        rungs: Vec::new(),
        worker: None,
        problem: None,
    }
}

impl Task {
    pub(super) async fn run(mut self) {
        let name = self.feed.config.load().name.clone();
        self.parts.metrics.begin(&name);
        // A publisher that comes sooner waits in its claim.
        tokio::select! {
            () = self.parts.devices.ready() => {}
            _ = self.stopping.wait_for(|stop| *stop) => {}
        }
        self.go_on().await;
        loop {
            let publisher = tokio::select! {
                joined = self.feed.next_publisher() => Some(joined),
                _ = self.stopping.wait_for(|stop| *stop) => None,
                _ = self.removed.wait_for(|gone| *gone) => None,
            };
            let Some(publisher) = publisher else { break };
            let config = self.feed.config.load_full();
            let presentation = Presentation::new(config.clone(), self.parts.limits.clone());
            let mut programme = self.programme(config, presentation).await;
            programme.join(publisher);
            self.put_on(programme).await;
        }
        // One that still waits is told by this.
        drop(self.feed.take_waiting());
        if *self.removed.borrow() {
            self.parts.metrics.end(&name);
        }
    }

    /// Goes on with what an earlier daemon left, if it left something and that may be.
    async fn go_on(&self) {
        let config = self.feed.config.load_full();
        if *self.stopping.borrow() {
            return;
        }
        let Some(left) = self.parts.store.interrupted(&config.name) else { return };
        let (id, ended_unix_millis) = (left.id.clone(), left.last_end_unix_millis());
        let now = clock::both();
        let resumed = resume::decide(&config, &left, now.unix_millis)
            .map_err(|refused| chain(&refused))
            .and_then(|(from, silent)| {
                let device = from.note.device();
                let limits = self.parts.limits.clone();
                let (presentation, actions) =
                    Presentation::resume(config.clone(), limits, now, silent, from)?;
                Ok((presentation, actions, device))
            });
        let (presentation, actions, device_before) = match resumed {
            Ok(resumed) => resumed,
            Err(why) => {
                info!(feed = config.name, presentation = %id, why, "what was on air becomes a recording");
                self.parts.store.close_interrupted(&config.name, ended_unix_millis);
                return;
            }
        };
        let recording = match self.parts.store.resume(left) {
            Ok(recording) => recording,
            Err(fault) => return error!(feed = config.name, presentation = %id, %fault, "cannot go on"),
        };
        let mut programme = self.programme(config, presentation).await;
        programme.recording = Some(recording);
        programme.device_before = device_before;
        programme.roles.push(Role::Primary);
        programme.id = Some(id.to_string());
        programme.act(actions);
        self.put_on(programme).await;
    }

    async fn programme(&self, config: Arc<config::Feed>, presentation: Presentation) -> Programme {
        Programme {
            presentation,
            slate: self.slate.read(&config).await,
            config,
            feed: self.feed.clone(),
            parts: self.parts.clone(),
            publishers: Publishers::default(),
            id: None,
            worker: None,
            sound_worker: None,
            device: None,
            device_before: None,
            worker_build: String::new(),
            roles: Vec::new(),
            rungs: Vec::new(),
            without_source_since: None,
            recording: None,
            pace: Pace::default(),
            operator: self.feed.hear_operator(),
            end_requests: Vec::new(),
            failure: None,
            shedding: false,
            closed: false,
            ending: false,
            suspending: false,
        }
    }

    /// Runs a programme to its end, in a task of its own, so that a fault of ours in one is not the end of its feed.
    async fn put_on(&self, programme: Programme) {
        let config = programme.config.clone();
        let run = programme.run(self.stopping.clone(), self.removed.clone());
        if let Err(fault) = tokio::spawn(run).await {
            error!(feed = config.name, %fault, "presentation failed");
            let problem = Some("an internal fault ended the presentation; see the log".to_owned());
            let status = FeedStatus { problem, ..idle_status(&config) };
            self.parts.metrics.show(&self.feed.status.load(), &status);
            self.feed.status.store(Arc::new(status));
        }
    }
}

/// One presentation with what it holds of the outside.
struct Programme {
    presentation: Presentation,
    config: Arc<config::Feed>,
    feed: Arc<Feed>,
    parts: Parts,
    publishers: Publishers,
    id: Option<String>,
    worker: Option<Worker>,
    /// One for sound that has to be converted.
    sound_worker: Option<Worker>,
    /// What the programme is transcoded on: the same from its first worker to its last.
    device: Option<Share>,
    /// What an earlier daemon had it transcoded on.
    device_before: Option<DeviceId>,
    worker_build: String,
    /// Who has published to it: a publisher of the same role goes on with it.
    roles: Vec<Role>,
    /// The names of its rungs, in the order of the worker's reports.
    rungs: Vec<String>,
    /// Until when time without a source has been counted, while there is none.
    without_source_since: Option<Instant>,
    recording: Option<store::Presentation>,
    /// The operator's picture for the slate; empty without one.
    slate: Bytes,
    /// What went wrong around the presentation.
    failure: Option<String>,
    /// Whether pictures are left out until the next key frame.
    shedding: bool,
    /// How fast time is filled that no daemon ran in.
    pace: Pace,
    operator: mpsc::Receiver<EndRequest>,
    /// Who waits for the end.
    end_requests: Vec<EndRequest>,
    /// Nothing more of the source is taken.
    ending: bool,
    /// The next daemon is to go on with it.
    suspending: bool,
    closed: bool,
}

impl Programme {
    async fn run(mut self, mut stopping: watch::Receiver<bool>, mut removed: watch::Receiver<bool>) {
        let mut ticks = pace::interval(TICK_BEATS);
        let mut until_status = 0;
        while !self.closed {
            let held_back = self.held_back();
            // Who comes when the programme is over waits for the next one.
            let joinable = !self.ending && !self.presentation.is_finishing();
            tokio::select! {
                (id, input) = self.publishers.next(held_back) => self.inputs(id, input),
                publisher = self.feed.next_publisher(), if joinable => self.join(publisher),
                Some(request) = self.operator.recv() => {
                    self.end_requests.push(request);
                    if !self.ending {
                        self.end("the operator ended the programme");
                    }
                }
                event = next_event(&mut self.worker) => self.worker_events(event),
                event = next_event(&mut self.sound_worker) => self.sound_worker_event(event),
                _ = ticks.tick() => {
                    for worker in [&mut self.worker, &mut self.sound_worker].into_iter().flatten() {
                        worker.look();
                    }
                    let actions = self.presentation.tick(clock::both());
                    self.act(actions);
                    self.fill_gap();
                    if until_status == 0 {
                        self.publish_status();
                    }
                    until_status = (until_status + 1) % TICKS_PER_STATUS;
                }
                _ = stopping.wait_for(|stop| *stop), if !self.ending => self.stop(),
                _ = removed.wait_for(|gone| *gone), if !self.ending => {
                    self.end("the feed was removed from the configuration");
                }
            }
        }
        self.close();
    }

    /// A source ahead of wall time is not read; its queue fills, and TCP holds the encoder back.
    fn held_back(&self) -> Option<SourceId> {
        match self.presentation.is_ahead(clock::both()) {
            true => self.presentation.source_on_air(),
            false => None,
        }
    }

    fn join(&mut self, publisher: Publisher) {
        let again = self.roles.contains(&publisher.role);
        if !again {
            self.roles.push(publisher.role);
        }
        self.parts.metrics.publish(&self.config.name, again);
        let (peer, encoder) = (&publisher.who.address, &publisher.who.encoder);
        let session = publisher.who.session;
        info!(feed = self.config.name, session, peer, encoder, role = ?publisher.role, "publish begins");
        self.presentation.source_joined(publisher.id, publisher.role);
        self.publishers.join(publisher);
    }

    /// Takes what came, and what else has come by now.
    fn inputs(&mut self, id: SourceId, input: Option<Input>) {
        self.input(id, input);
        for _ in 0..AT_ONCE {
            if self.closed {
                return;
            }
            let held_back = self.held_back();
            let Some((id, input)) = self.publishers.already(held_back) else { return };
            self.input(id, input);
        }
    }

    fn input(&mut self, id: SourceId, input: Option<Input>) {
        let now = clock::both();
        let actions = match input {
            Some(input) => self.presentation.input(now, id, input),
            None => {
                if let Some(gone) = self.publishers.remove(id) {
                    let (session, peer) = (gone.who.session, gone.who.address);
                    info!(feed = self.config.name, session, peer, "publish ends");
                }
                self.presentation.source_gone(now, id)
            }
        };
        self.act(actions);
    }

    fn end(&mut self, why: &str) {
        self.ending = true;
        info!(feed = self.config.name, why, "programme ends");
        self.publishers.dismiss_all(why);
        let actions = self.presentation.finish(clock::both());
        self.act(actions);
        self.publish_status();
    }

    /// The daemon stops. The programme does not end with it where the next daemon may go on: most stops are restarts.
    fn stop(&mut self) {
        let why = "the appliance is shutting down";
        if self.config.grace.is_zero() || !self.is_kept() {
            return self.end(why);
        }
        self.ending = true;
        self.suspending = true;
        info!(feed = self.config.name, grace = ?self.config.grace, "programme is suspended");
        self.publishers.dismiss_all(why);
        let actions = self.presentation.suspend(clock::both());
        self.act(actions);
        self.publish_status();
    }

    /// Whether the next daemon finds it, or would if it began now.
    fn is_kept(&self) -> bool {
        match &self.recording {
            Some(recording) => recording.view().is_archived(),
            None => self.parts.store.is_archiving(),
        }
    }

    /// Fills time in which no daemon ran, as fast as the archive takes it.
    fn fill_gap(&mut self) {
        let Some(recording) = self.recording.as_ref().filter(|_| self.presentation.is_filling()) else {
            return;
        };
        let now = clock::both();
        let room = self.pace.room(now.instant, recording.view().waiting_for_archive());
        if room > 0 {
            let actions = self.presentation.fill_gap(now, room);
            self.act(actions);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StartWorker(job) => self.start_worker(job),
                Action::ToWorker(message, payload) => self.send(message, payload),
                Action::CatchUp => {
                    if let Some(worker) = &mut self.worker {
                        worker.catch_up();
                    }
                }
                Action::StartSound(job, track) => self.start_sound_worker(job, track),
                Action::ToSound(message, payload) => self.send_sound(message, payload),
                Action::StopSound(death) => self.stop_sound_worker(death),
                Action::Begin(opening) => self.begin(opening),
                Action::Keep(track, package) => {
                    if let Some(recording) = &self.recording {
                        recording::keep(recording, track, package);
                    }
                }
                Action::Rule { rule, action, text } => {
                    self.parts.metrics.rule(&self.config.name, rule, action);
                    if action == config::RuleAction::Warn {
                        warn!(feed = self.config.name, rule = rule.label(), "{text}");
                    }
                }
                Action::Warn { rule, text } => {
                    self.parts.metrics.warn(&self.config.name, rule);
                    warn!(feed = self.config.name, rule, "{text}");
                }
                Action::Restart(track, segment) => {
                    if let Some(recording) = &self.recording {
                        recording.restart(track, segment);
                    }
                }
                Action::Quarantine(reason) => {
                    warn!(feed = self.config.name, reason, "feed quarantined");
                    self.feed.quarantine(clock::now(), reason);
                }
                Action::Dismiss(id, reason) => {
                    let gone = self.publishers.dismiss(id, &reason);
                    let session = gone.map(|publisher| publisher.who.session);
                    warn!(feed = self.config.name, session, reason, "publish dismissed");
                }
                Action::Note(note) => {
                    if let Some(recording) = &self.recording {
                        let device = self.device.as_ref().map(Share::id).or(self.device_before.as_ref());
                        let note = note.map(|note| note.on_device(device).to_bytes());
                        recording.note_resume(note.unwrap_or_default());
                    }
                }
                Action::Close => self.closed = true,
            }
        }
    }

    fn begin(&mut self, opening: Opening) {
        let id = store::presentation_id(opening.availability_start_unix_millis);
        let tracks: Result<Vec<_>, _> = opening.tracks.iter().map(recording::new_track).collect();
        let begun = tracks.map_err(|fault| fault.to_string()).and_then(|tracks| {
            let new = NewPresentation {
                feed: self.config.name.clone(),
                title: self.config.title.clone(),
                id: id.clone(),
                availability_start_unix_millis: opening.availability_start_unix_millis,
                cadence: opening.cadence,
                window: self.config.window,
                memory: self.config.memory,
                target_latency: (self.config.latency == media::Latency::Low)
                    .then_some(self.config.target_latency),
                resume: opening.note.on_device(self.device.as_ref().map(Share::id)).to_bytes(),
                tracks,
            };
            self.parts.store.begin(new).map_err(|fault| fault.to_string())
        });
        match begun {
            Ok(recording) => {
                info!(feed = self.config.name, presentation = id, "presentation begins");
                self.recording = Some(recording);
                self.id = Some(id);
            }
            Err(fault) => self.fail(&fault),
        }
    }

    fn fail(&mut self, fault: &dyn std::fmt::Display) {
        let reason = format!("the appliance cannot take the feed: {fault}");
        warn!(feed = self.config.name, reason, "presentation fails");
        self.publishers.dismiss_all(&reason);
        self.failure = Some(reason);
        self.closed = true;
    }

    fn problem(&self) -> Option<String> {
        self.failure.clone().or_else(|| self.presentation.problem().map(str::to_owned))
    }

    fn close(mut self) {
        self.worker = None;
        self.sound_worker = None;
        self.feed.forget_operator();
        let mut ended = None;
        match self.recording.take() {
            Some(recording) if self.suspending => recording.suspend(),
            Some(recording) => {
                let view = recording.view();
                ended = self.id.clone().map(|presentation| {
                    (Ended { presentation, archived: view.is_archived() }, view.progress())
                });
                recording.end(clock::unix_millis());
                info!(feed = self.config.name, presentation = self.id, "presentation ends");
            }
            None => {}
        }
        let why = self.problem().unwrap_or_else(|| "the programme has ended".to_owned());
        self.publishers.dismiss_all(&why);
        let status = FeedStatus {
            presentation: self.id.clone(),
            problem: self.problem(),
            ..idle_status(&self.config)
        };
        self.parts.metrics.show(&self.feed.status.load(), &status);
        self.feed.status.store(Arc::new(status));
        self.end_requests.extend(std::iter::from_fn(|| self.operator.try_recv().ok()));
        tokio::spawn(answer(self.end_requests, ended));
    }

    fn publish_status(&mut self) {
        let now = clock::both();
        let facts = self.presentation.facts(now);
        let report = self.presentation.report().cloned().unwrap_or_default();
        let state = match &facts {
            _ if self.ending || self.presentation.is_finishing() => FeedState::Ending,
            Some(facts) if facts.begun && facts.attached => FeedState::Live,
            Some(facts) if facts.begun => FeedState::Slate,
            _ => FeedState::Starting,
        };
        if let Some(since) = self.without_source_since.take() {
            let passed = now.instant.saturating_duration_since(since);
            self.parts.metrics.slate(&self.config.name, passed);
        }
        self.without_source_since = (state == FeedState::Slate).then_some(now.instant);
        let mut status = FeedStatus {
            state,
            presentation: self.id.clone(),
            publisher: self.publishers.who(self.presentation.source_on_air()).cloned(),
            worker: self.worker.as_ref().map(|worker| WorkerStatus {
                pid: worker.pid(),
                build: self.worker_build.clone(),
                device: self.device.as_ref().map(|device| device.id().to_string()).unwrap_or_default(),
            }),
            problem: self.problem(),
            ..idle_status(&self.config)
        };
        if let Some(facts) = facts {
            status.source = Some(shown::source_status(&facts, &report));
            status.rungs = shown::rung_statuses(&facts, &report);
        }
        self.parts.metrics.show(&self.feed.status.load(), &status);
        self.feed.status.store(Arc::new(status));
    }
}

/// Tells who wanted the end of a presentation that its manifests are static, the replay's too, or will be as soon as the
/// disk lets them.
async fn answer(requests: Vec<EndRequest>, ended: Option<(Ended, watch::Receiver<store::Progress>)>) {
    if requests.is_empty() {
        return;
    }
    let mut told = None;
    if let Some((ended, mut progress)) = ended {
        let over = |progress: &store::Progress| progress.ended && (progress.settled || !ended.archived);
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, progress.wait_for(over)).await;
        told = Some(ended);
    }
    for request in requests {
        // Who asked may have gone.
        let _ = request.send(told.clone());
    }
}

#[cfg(test)]
mod tests;
