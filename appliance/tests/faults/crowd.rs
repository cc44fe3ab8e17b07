//! Four feeds with encoders that connect again whenever they are cut off, and a viewer of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use test_support::mpd::Fetched;
use test_support::{FeedSetup, Ffmpeg, Rungd, Setup, Stopwatch, http, media_check, wait_until};

use crate::output;
use crate::viewer::{Viewer, Watched};

const DEADLINE: Duration = Duration::from_secs(40);
/// How soon an encoder tries again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

pub(crate) const FEEDS: [&str; 4] = ["studio-a", "studio-b", "studio-c", "studio-d"];

/// Feeds of the default segment length that outlive everything, the last of them in low latency.
pub(crate) fn setup() -> Setup {
    let feed = |name: &&str| {
        let latency = if *name == FEEDS[3] { "low" } else { "standard" };
        FeedSetup::new(name)
            .line("segment = \"2s\"")
            .line("grace = \"60s\"")
            .line("takeover = \"same-key\"")
            .line("window = \"2m\"")
            .line(&format!("latency = \"{latency}\""))
    };
    FEEDS.iter().map(feed).fold(Setup::default(), Setup::feed).on_fixed_ports()
}

/// An encoder that is started again whenever it ends.
#[derive(Debug)]
pub(crate) struct Encoder {
    leave: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Encoder {
    fn new(rungd: &Rungd, feed: &str) -> Self {
        let leave = Arc::new(AtomicBool::new(false));
        let (url, folder) = (rungd.rtmp_url(feed), rungd.folder().to_owned());
        let left = leave.clone();
        let thread = std::thread::spawn(move || {
            while !left.load(Ordering::SeqCst) {
                let mut ffmpeg = Ffmpeg::new().publish(&url, &folder);
                while ffmpeg.is_running() && !left.load(Ordering::SeqCst) {
                    Stopwatch::start().reach(RECONNECT_AFTER);
                }
            }
        });
        Self { leave, thread: Some(thread) }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Who publishes and who watches.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) viewers: Vec<Viewer>,
    /// Set while the daemon is known to be down.
    pub(crate) down: Arc<AtomicBool>,
    encoders: Vec<Encoder>,
}

impl Crowd {
    /// Publishes to every feed, and watches once there is something to see.
    pub(crate) fn gather(rungd: &Rungd) -> Self {
        let encoders = FEEDS.iter().map(|feed| Encoder::new(rungd, feed)).collect();
        let down = Arc::new(AtomicBool::new(false));
        for feed in FEEDS {
            let url = rungd.url(&format!("/live/{feed}/180p/index.m3u8"));
            wait_until(DEADLINE, "three segments", || {
                let text = http::request("GET", &url, &[]).ok()?.text();
                (text.matches("#EXTINF").count() >= 3).then_some(())
            });
        }
        let base = rungd.url("");
        let viewers = FEEDS.iter().map(|feed| Viewer::new(&base, feed, &down)).collect();
        Self { viewers, down, encoders }
    }

    /// Holds what everybody saw to the rules.
    pub(crate) fn leave(self, rungd: &Rungd) -> Vec<Watched> {
        drop(self.encoders);
        self.viewers
            .into_iter()
            .map(|viewer| {
                let watched = viewer.leave();
                for (name, track) in &watched.tracks {
                    hold_to_the_rules(rungd, name, track);
                }
                watched
            })
            .collect()
    }
}

fn hold_to_the_rules(rungd: &Rungd, name: &str, track: &Fetched) {
    output::contiguous(name, track);
    if track.init.coding == "avc1" {
        output::begins_with_idr(name, track);
    }
    let file = media_check::save(track, rungd.folder(), name);
    let errors = media_check::decode_errors(file.to_str().unwrap());
    assert!(errors.is_empty(), "ffmpeg on {name}: {errors}");
}
