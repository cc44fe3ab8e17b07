//! Feeds with real tasks, a store in memory, and workers that are shell scripts.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use media::SourceStamp;
use prometheus::Registry;
use test_support::wait::{until, until_gone};

use super::*;
use crate::clock;
use crate::config;
use crate::devices::{self, Devices};
use crate::feed::source::Input;
use crate::feed::status::FeedState;
use crate::store::Store;
use crate::supervisor;

/// Longest wait for anything that has to happen, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(30);
/// `-f lavfi -i testsrc2=s=1920x1080:r=30000/1001 -c:v libx264 -preset ultrafast -pix_fmt yuv420p`
const AVC_1080P2997: &[u8] = &[
    0x01, 0x42, 0xc0, 0x28, 0xff, 0xe1, 0x00, 0x17, 0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f,
    0x97, 0x01, 0x10, 0x00, 0x00, 0x3e, 0x90, 0x00, 0x0e, 0xa6, 0x00, 0xf1, 0x83, 0x2a, 0x01, 0x00, 0x04,
    0x68, 0xce, 0x0f, 0xc8,
];

struct Stage {
    folder: tempfile::TempDir,
    config: config::Config,
    feeds: Feeds,
    registry: Registry,
}

impl Stage {
    /// One feed, whose key is its name backwards; `script` stands in for its worker.
    fn new(script: &str, worker: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("worker");
        write_program(&program, script);
        let key: String = hash("a-oiduts");
        let text = format!(
            "state_dir = \"state\"\n[ingest]\nrtmp = [\"127.0.0.1:0\"]\nrtmps = []\n[worker]\nprogram = \"{}\"\n\
             {worker}\n[archive]\nenabled = false\n[feed.studio-a]\nkeys = [\"{key}\"]\ngrace = \"0s\"\ntakeover = \"never\"\n",
            program.display()
        );
        let path = folder.path().join("rungd.toml");
        std::fs::write(&path, text).unwrap();
        let config = config::Config::load(&path).unwrap();
        let registry = Registry::new();
        let parts = task::Parts {
            store: Store::open(&config.archive, &config.state_dir, &registry).unwrap(),
            worker: config.worker.clone(),
            devices: Devices::known(devices::choice::tests::inventory(&["software"])),
            limits: config.ingest.limits.clone(),
            media: tokio::runtime::Handle::current(),
            metrics: metrics::Metrics::register(&registry).unwrap(),
            worker_metrics: supervisor::metrics::Metrics::register(&registry).unwrap(),
        };
        let feeds = Feeds::start(&config.feeds, parts);
        Self { folder, config, feeds, registry }
    }

    fn admit(&self, address: &str) -> Result<Claim, Refusal> {
        self.feeds.admit(clock::now(), b"a-oiduts", who(address))
    }

    fn status(&self) -> FeedStatus {
        self.feeds.snapshot().remove(0)
    }

    async fn until(&self, what: &str, holds: impl Fn(&FeedStatus) -> bool) {
        until(DEADLINE, what, async || holds(&self.status()).then_some(())).await;
    }
}

fn who(address: &str) -> PublisherStatus {
    PublisherStatus {
        session: 1,
        address: address.to_owned(),
        tls: false,
        encoder: "test".to_owned(),
        since_unix_millis: 0,
    }
}

fn hash(key: &str) -> String {
    config::KeyHash::of(key.as_bytes()).to_string()
}

fn write_program(path: &Path, script: &str) {
    // By another process, since a file that is open for writing in any child that is just being made cannot be run.
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut writer.stdin.take().unwrap(), format!("#!/bin/sh\n{script}\n").as_bytes())
        .unwrap();
    assert!(writer.wait().unwrap().success());
}

fn picture(millis: u32, bytes: usize) -> Input {
    let stamp = SourceStamp { millis, ..SourceStamp::default() };
    Input::Video { stamp, key: millis == 0, payload: Bytes::from(vec![1; bytes]) }
}

/// Sends two seconds of pictures at once: enough for a worker to be asked for.
async fn begin(claim: &Claim) {
    let codec = media::VideoCodec::H264;
    let record = Bytes::from_static(AVC_1080P2997);
    claim.send(Input::VideoConfiguration { codec, record }).await;
    for i in 0..60 {
        claim.send(picture(i * 33, 100)).await;
    }
}

async fn dismissal(claim: &mut Claim) -> String {
    tokio::time::timeout(DEADLINE, claim.dismissed()).await.expect("a dismissal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_publishers_are_told_apart() {
    let stage = Stage::new("exec /bin/sleep 600", "");
    let stranger = stage.feeds.admit(clock::now(), b"studio-a", who("a"));
    assert_eq!(stranger.unwrap_err(), Refusal::UnknownKey);
    let first = stage.admit("10.0.0.1:1").unwrap();
    let refused = stage.admit("10.0.0.2:2").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "feed \"studio-a\" is being published to by 10.0.0.1:1 already; stop that encoder first"
    );
    drop(first);
    drop(stage.admit("10.0.0.2:2").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_come_and_go_while_one_is_put_out_are_all_admitted() {
    // A worker that never finishes keeps the first presentation for three seconds.
    let stage = Stage::new("exec /bin/sleep 600", "start_timeout = \"30s\"\nfinish_timeout = \"3s\"");
    let first = stage.admit("10.0.0.1:1").unwrap();
    begin(&first).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    drop(first);
    let alone = |status: &FeedStatus| status.state == FeedState::Ending && status.publisher.is_none();
    stage.until("the end of the first", alone).await;
    for port in 2..6 {
        drop(stage.admit(&format!("10.0.0.1:{port}")).expect("nobody publishes"));
    }
    let mut last = stage.admit("10.0.0.1:9").unwrap();
    let of_last =
        |status: &FeedStatus| status.publisher.as_ref().is_some_and(|who| who.address == "10.0.0.1:9");
    stage.until("the last publisher's turn", of_last).await;
    begin(&last).await;
    stage.until("its worker", |status| of_last(status) && status.worker.is_some()).await;
    stage.feeds.stop().await;
    assert_eq!(dismissal(&mut last).await, "the appliance is shutting down");
    assert_eq!(stage.admit("10.0.0.1:10").unwrap_err(), Refusal::Stopping);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dismissed_publisher_that_goes_on_sending_is_not_listened_to() {
    let stage = Stage::new("exit 7", "");
    let mut claim = stage.admit("10.0.0.1:1").unwrap();
    begin(&claim).await;
    let reason = "the feed kills its workers (the worker exited with code 7); it is taken off for a while";
    assert_eq!(dismissal(&mut claim).await, reason);
    let sending = async { while claim.send(picture(5000, 100)).await {} };
    tokio::time::timeout(DEADLINE, sending).await.expect("the feed takes no more");
    // The presentation is over, though the publisher is still there.
    stage.until("the feed's end", |status| status.state == FeedState::Idle).await;
    assert_eq!(stage.status().problem.as_deref(), Some(reason));
    assert!(matches!(stage.admit("10.0.0.2:2"), Err(Refusal::Quarantined { seconds: 1..=60, .. })));
    let later = clock::now() + Duration::from_secs(61);
    assert!(matches!(stage.feeds.admit(later, b"a-oiduts", who("b")), Err(Refusal::Busy { .. })));
    drop(claim);
    drop(stage.admit("10.0.0.2:2").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_be_started_is_said() {
    let stage = Stage::new("", "");
    std::fs::remove_file(stage.folder.path().join("worker")).unwrap();
    let mut claim = stage.admit("10.0.0.1:1").unwrap();
    begin(&claim).await;
    let reason = dismissal(&mut claim).await;
    assert!(reason.starts_with("the appliance cannot take the feed: cannot start worker /"), "{reason}");
    stage.until("the feed's end", |status| status.problem.as_ref() == Some(&reason)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_queue_is_bounded_in_bytes() {
    // The first programme must not end meanwhile, or the second one's media is taken for ever.
    let stage = Stage::new("exec /bin/sleep 600", "start_timeout = \"120s\"\nfinish_timeout = \"120s\"");
    let first = stage.admit("10.0.0.1:1").unwrap();
    begin(&first).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    drop(first);
    // From here on nobody joins it any more: the second waits, and its media with it.
    stage.until("the first programme's end", |status| status.state == FeedState::Ending).await;
    let second = stage.admit("10.0.0.1:2").unwrap();
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(200), second.send(picture(0, 8 * 1024 * 1024)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent <= 64, "it is not bounded");
    }
    assert_eq!(sent, 4, "of 8 MiB each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_with_a_worker_that_hangs_takes_its_finish_timeout_and_no_more() {
    let stage = Stage::new("exec /bin/sleep 600", "start_timeout = \"120s\"\nfinish_timeout = \"1s\"");
    let mut claim = stage.admit("10.0.0.1:1").unwrap();
    begin(&claim).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    tokio::time::timeout(DEADLINE, stage.feeds.stop()).await.expect("it stops");
    assert_eq!(dismissal(&mut claim).await, "the appliance is shutting down");
    assert!(!claim.send(picture(0, 1)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_removed_is_put_out_before_the_appliance_stops() {
    let stage = Stage::new("exec /bin/sleep 600", "start_timeout = \"120s\"\nfinish_timeout = \"1s\"");
    let mut claim = stage.admit("10.0.0.1:1").unwrap();
    begin(&claim).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    let pid = stage.status().worker.unwrap().pid;
    stage.feeds.apply(&[]);
    assert_eq!(dismissal(&mut claim).await, "the feed was removed from the configuration");
    assert_eq!(stage.admit("10.0.0.1:1").unwrap_err(), Refusal::UnknownKey);
    tokio::time::timeout(DEADLINE, stage.feeds.stop()).await.expect("it stops");
    until_gone(DEADLINE, pid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_comes_back_with_the_configuration() {
    let stage = Stage::new("exec /bin/sleep 600", "");
    stage.feeds.apply(&[]);
    assert!(stage.feeds.snapshot().is_empty());
    stage.feeds.apply(&stage.config.feeds);
    drop(stage.admit("10.0.0.1:1").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_comes_back_waits_for_what_was_left_of_it() {
    let stage = Stage::new("exec /bin/sleep 600", "start_timeout = \"120s\"\nfinish_timeout = \"1s\"");
    let claim = stage.admit("10.0.0.1:1").unwrap();
    begin(&claim).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    let pid = stage.status().worker.unwrap().pid;
    stage.feeds.apply(&[]);
    stage.feeds.apply(&stage.config.feeds);
    let again = stage.admit("10.0.0.1:2").unwrap();
    begin(&again).await;
    stage.until("its worker", |status| status.worker.as_ref().is_some_and(|worker| worker.pid != pid)).await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "both are there at once");
    let shown = prometheus::TextEncoder::new().encode_to_string(&stage.registry.gather()).unwrap();
    assert!(shown.contains("rungd_feed_publishes_total{feed=\"studio-a\"}"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_with_the_same_key_takes_the_place_of_one_that_hangs() {
    let stage = Stage::new("exec /bin/sleep 600", "");
    let mut feed = stage.config.feeds[0].clone();
    feed.takeover = config::Takeover::SameKey;
    stage.feeds.apply(&[feed]);
    let mut old = stage.admit("10.0.0.1:1").unwrap();
    begin(&old).await;
    stage.until("a worker", |status| status.worker.is_some()).await;
    let new = stage.admit("10.0.0.1:2").unwrap();
    assert_eq!(dismissal(&mut old).await, "an encoder with the same key took over, from 10.0.0.1:2");
    // The old claim's end does not free the new one's place.
    drop(old);
    begin(&new).await;
    let of_new =
        |status: &FeedStatus| status.publisher.as_ref().is_some_and(|who| who.address == "10.0.0.1:2");
    stage.until("the new one on air", of_new).await;
}

/// Two studios may share a feed by a key each; taking over is for the encoder that was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_with_another_key_of_the_feed_does_not_take_over() {
    let stage = Stage::new("exec /bin/sleep 600", "");
    let mut feed = stage.config.feeds[0].clone();
    feed.takeover = config::Takeover::SameKey;
    let (first, second) = (feed.key_hashes[0].clone(), config::KeyHash::of(b"another key"));
    feed.key_hashes.push(second.clone());
    stage.feeds.apply(std::slice::from_ref(&feed));
    let mut old = stage.admit("10.0.0.1:1").unwrap();
    let another = || stage.feeds.admit(clock::now(), b"another key", who("10.0.0.1:2"));
    assert_eq!(
        another().unwrap_err().to_string(),
        "feed \"studio-a\" is being published to by 10.0.0.1:1 with another of its keys; stop that encoder first"
    );
    // The first key leaked, and is taken out.
    feed.key_hashes.retain(|hash| *hash != first);
    stage.feeds.apply(&[feed]);
    let new = another().unwrap();
    assert_eq!(dismissal(&mut old).await, "an encoder with a new key took over, from 10.0.0.1:2");
    drop((old, new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_whose_device_is_not_there_takes_no_publisher() {
    let stage = Stage::new("exec /bin/sleep 600", "");
    let mut feed = stage.config.feeds[0].clone();
    feed.device = config::DeviceWish::Engine(worker_protocol::EngineKind::Nvidia);
    stage.feeds.apply(&[feed]);
    let refused = stage.admit("10.0.0.1:1").unwrap_err();
    assert_eq!(refused.label(), "no_device");
    let why = "feed \"studio-a\" cannot be taken: no device for device = \"nvidia\": there is none here; see \
               `rungd devices`";
    assert_eq!(refused.to_string(), why);
    stage.feeds.apply(&stage.config.feeds);
    drop(stage.admit("10.0.0.1:1").unwrap());
}
