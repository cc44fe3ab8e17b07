//! What our own code costs beside the driver's.

use std::fs;
use std::time::Duration;

use gpu::decode::DecoderConfig;
use gpu::{Codec, Decoder, Device, Encoder, FrameKind, Scaler};
use test_support::Stopwatch;

use crate::decoding::stream;
use crate::encoding::config;
use crate::pictures::size;
use crate::{Seen, run_simulated};

/// Pictures: ten seconds of a source at 60 a second.
const PICTURES: u64 = 600;
/// Pictures from one IDR picture to the next.
const GROUP: u64 = 60;
/// Share of a core that may be spent outside of the driver, in percent. This crate is optimised in debug builds too.
const MOST_PERCENT: u64 = 15;
/// For 64 sessions. Openings that a device does one after another take 2.56 s.
const MOST_OPENING: Duration = Duration::from_secs(3);
/// What is left of that for our own code.
const MOST_OWN: Duration = Duration::from_millis(3000 - 64 * 40);
/// Times that openings are measured at most.
const TRIALS: usize = 20;

/// CPU time of this process, in milliseconds (proc(5), utime and stime in ticks of 10 ms).
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

/// What the inner test says of itself: `name=figure=`.
fn figure(said: &str, name: &str) -> u64 {
    let figures: Vec<&str> = said.split('=').collect();
    let at = figures.iter().position(|part| part.ends_with(name)).unwrap();
    figures[at + 1].parse().unwrap()
}

#[test]
fn six_rungs_of_1080p60_cost_little_beside_the_driver() {
    let plan = "pictures = \"flat\"\n[[device]]\nmodel = \"l4\"\n";
    let seen = run_simulated("cost::six_rungs_of_1080p60_cost_little_beside_the_driver", plan, || {
        let device = Device::open(0).unwrap();
        let source =
            stream(Codec::H264, "color=size=1920x1080:rate=60", &["-frames:v", "60", "-pix_fmt", "yuv420p"]);
        let decoding =
            DecoderConfig { codec: Codec::H264, configuration: Some(&source.record), low_latency: false };
        let mut decoder = Decoder::open(&device, &decoding).unwrap();
        let mut scaler = Scaler::new(&device);
        let rungs = [(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240), (256, 144)];
        let rungs = rungs.map(|(width, height)| size(width, height));
        let mut encoders =
            rungs.map(|size| Encoder::open(&device, &config(Codec::H264, size, 1_000_000)).unwrap());
        let before = cpu_ms();
        let mut shown = 0;
        for (unit, tag) in source.units.iter().cycle().take(PICTURES as usize).zip(0..) {
            decoder.send(unit, tag).unwrap();
            while let Some(picture) = decoder.receive().unwrap() {
                let mut frame = picture.frame;
                let kind = if shown % GROUP == 0 { FrameKind::Idr } else { FrameKind::Any };
                for (encoder, size) in encoders.iter_mut().zip(rungs) {
                    frame = scaler.scale(&frame, size).unwrap();
                    encoder.send(&frame, shown, kind).unwrap();
                    while encoder.receive().unwrap().is_some() {}
                }
                shown += 1;
            }
        }
        let spent = cpu_ms() - before;
        assert!(shown + 10 >= PICTURES, "{shown}");
        println!("spent={spent}=on={shown}=");
    });
    let Some(Seen { report, said, .. }) = seen else { return };
    let (spent, shown) = (figure(&said, "spent"), figure(&said, "on"));
    let counters = &report["devices"][0]["counters"];
    let driver = counters["DriverCpuNs"].as_u64().unwrap() / 1_000_000;
    let time = shown * 1000 / 60;
    let percent = spent.saturating_sub(driver) * 100 / time;
    println!("{shown} pictures: {spent} ms of CPU, {driver} ms in the driver: {percent} % of a core outside");
    assert!(percent <= MOST_PERCENT, "{percent} % of a core outside of the driver");
    // Pictures stay on the device.
    assert_eq!(counters["DeviceToHostBytes"], 0);
}

/// Eight threads that do so eight times each; what it gave, and how long that took.
fn on_eight_threads<T: Send + 'static, F: FnMut() -> T + Send + 'static>(
    mut of_thread: impl FnMut() -> F,
) -> (Vec<T>, Duration) {
    let started = Stopwatch::start();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mut open = of_thread();
            std::thread::spawn(move || (0..8).map(|_| open()).collect::<Vec<_>>())
        })
        .collect();
    let all = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    (all, started.elapsed())
}

#[test]
fn sixty_four_sessions_open_in_under_three_seconds() {
    let plan = "pictures = \"flat\"\n[[device]]\nmodel = \"l4\"\nopen_delay_ms = 40\n";
    let seen = run_simulated("cost::sixty_four_sessions_open_in_under_three_seconds", plan, || {
        let _kept = Device::open(0).unwrap();
        let open_all = || {
            let (encoders, took) = on_eight_threads(|| {
                // Each thread finds the device by itself, as a rung of its own would.
                let device = Device::open(0).unwrap();
                move || Encoder::open(&device, &config(Codec::H264, size(320, 180), 500_000)).unwrap()
            });
            assert_eq!(encoders.len(), 64);
            took
        };
        // Whatever else runs on the machine takes its time: the best of some is what our own code takes.
        let before = cpu_ms();
        for trial in 1..=TRIALS {
            let took = open_all();
            println!("64 sessions opened in {took:.2?}");
            if took < MOST_OPENING {
                println!("spent={}=on={trial}=", cpu_ms() - before);
                return;
            }
        }
        panic!("64 sessions never opened in less than {MOST_OPENING:?}");
    });
    let Some(Seen { report, said, .. }) = seen else { return };
    assert_eq!(report["violations"], 0, "{}", report["sentences"]);
    let counters = &report["devices"][0]["counters"];
    // Computing counts however the machine is shared.
    let (spent, trials) = (figure(&said, "spent"), figure(&said, "on"));
    let driver = counters["DriverCpuNs"].as_u64().unwrap() / 1_000_000;
    println!("{trials} x 64 sessions: {spent} ms of CPU, {driver} ms in the driver");
    let own = spent.saturating_sub(driver) / trials;
    assert!(u128::from(own) <= MOST_OWN.as_millis(), "{own} ms of CPU for 64 sessions");
    assert_eq!(counters["EncodeOpens"].as_u64(), Some(trials * 64));
    // The simulated driver would stand it; real ones are slower so, or fail.
    assert_eq!(counters["OverlappingOpens"], 0, "sessions are opened one after another");
    assert_eq!(counters["ContextsMade"], 1, "one context a device and process");
}
