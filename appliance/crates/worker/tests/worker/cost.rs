//! How soon a worker gives its first picture, and what it costs beside the driver: six rungs of 1080p60 on simulated
//! devices as fast as can be, which code pictures once and then hand them out (`pictures = "flat"`).

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use test_support::sims::Simulation;
use worker_protocol::device::Inventory;
use worker_protocol::{FromWorker, Job, ToWorker};

use crate::client::{Script, Worker, job, opening, rung};
use crate::clip::Clip;
use crate::program;

/// From the start of the process to the first coded picture.
const SOONEST: Duration = Duration::from_millis(300);
/// Share of a core outside of the driver, in percent.
const MOST_PERCENT: u64 = 15;
/// Of the source.
const PICTURES_A_SECOND: u64 = 60;
/// Seconds of it.
const SECONDS: u64 = 10;
/// Ticks of 90 kHz in a second.
const TICKS: i64 = 90_000;
/// Times that a start is measured at most: whatever else runs on the machine takes its time, so the best is what it takes.
const STARTS: usize = 20;

fn ladder() -> Job {
    let sizes = [(1920, 1080), (1280, 720), (854, 480), (640, 360), (426, 240), (256, 144)];
    let rungs =
        sizes.map(|(width, height)| rung(&height.to_string(), width, height, 1000 * width * height / 400));
    job("60", rungs.to_vec())
}

/// A second of 1080p60, and then the same again.
fn source() -> Script {
    let folder = tempfile::tempdir().unwrap();
    let clip = Clip::make(
        folder.path(),
        "-f lavfi -i testsrc2=s=1920x1080:r=60:d=1 -c:v libx264 -preset ultrafast -b:v 6M -g 60 -pix_fmt yuv420p",
    );
    let mut script = clip.script(0);
    for second in 1..i64::try_from(SECONDS).unwrap() {
        // Without the configuration, which stays.
        script.extend(clip.script(second * TICKS).into_iter().skip(1));
    }
    script
}

/// The device, as the worker names it.
fn device(engine: &str, simulation: &Simulation) -> String {
    let mut command = Command::new(program());
    command.args(["probe", "--engine", engine]).env_clear().envs(simulation.environment());
    if engine == "vaapi" {
        command.args(["--render-node", "/dev/null"]);
    }
    let output = command.output().unwrap();
    let found: Inventory = serde_json::from_slice(&output.stdout).unwrap();
    found.devices.first().unwrap_or_else(|| panic!("{found:?}")).id.to_string()
}

/// Processor time of a process so far, in milliseconds (proc(5), utime and stime in ticks of 10 ms).
pub(crate) fn cpu_ms(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

/// A worker's life.
struct Life {
    /// From its start: until it greets, all encoders are open, and the first coded picture is there.
    steps: [Duration; 3],
    /// Milliseconds of processor time: all of it, and the driver's.
    spent: u64,
    driver: u64,
    pictures: usize,
}

#[allow(clippy::disallowed_methods, reason = "a bound on time is what is tested")]
fn live(simulation: &Simulation, device: &str, media: Script) -> Life {
    let mut script = opening(&ladder());
    script.extend(media);
    script.push((ToWorker::Finish, Bytes::new()));
    let driver_ms = || simulation.counter("DriverCpuNs") / 1_000_000;
    let before = driver_ms();
    let started = Instant::now();
    // Before what else runs on the machine, where that is allowed: that is not what is measured.
    let arguments = ["-n", "-20", program().to_str().unwrap(), "run", "--device", device];
    let mut worker = Worker::start_with(Path::new("/usr/bin/nice"), &arguments, &simulation.environment());
    let socket = worker.socket.try_clone().unwrap();
    let feeder = std::thread::spawn(move || {
        for (message, payload) in script {
            Worker::send(&socket, &message, &payload).unwrap();
        }
    });
    let mut steps = [Duration::ZERO; 3];
    let (mut pictures, mut spent) = (0, 0);
    while let Some((message, _)) = worker.receive() {
        match message {
            FromWorker::Hello { .. } => steps[0] = started.elapsed(),
            FromWorker::RungOpened { .. } => steps[1] = started.elapsed(),
            FromWorker::Picture { .. } => {
                pictures += 1;
                if pictures == 1 {
                    steps[2] = started.elapsed();
                }
            }
            // The last word: all is closed by then, and the process still there.
            FromWorker::Finished => spent = cpu_ms(worker.child.id()),
            FromWorker::Failed { reason } => panic!("{reason}"),
            _ => {}
        }
    }
    feeder.join().unwrap();
    assert_eq!(worker.child.wait().unwrap().code(), Some(0));
    assert!(pictures > 0 && spent > 0, "{pictures} pictures for {spent} ms");
    Life { steps, spent, driver: driver_ms() - before, pictures }
}

fn check(engine: &'static str, model: &str) {
    let plan = format!("pictures = \"flat\"\n[[device]]\nmodel = \"{model}\"");
    let simulation = Simulation::new(engine, &plan);
    let device = device(engine, &simulation);
    let source = source();
    let pictures = usize::try_from(SECONDS * PICTURES_A_SECOND).unwrap();
    let whole = live(&simulation, &device, source.clone());
    assert_eq!(whole.pictures, 6 * pictures);
    let percent = whole.spent.saturating_sub(whole.driver) * 100 / (SECONDS * 1000);
    println!(
        "{engine}: {pictures} pictures in 6 rungs: {} ms of CPU, {} ms in the driver: {percent} % of a core outside",
        whole.spent, whole.driver
    );
    assert!(percent <= MOST_PERCENT, "{percent} % of a core outside of the driver");
    // The beginning of the source is enough for a first picture.
    let short: Script = source.into_iter().take(30).collect();
    let mut soonest = whole;
    for _ in 0..STARTS {
        let next = live(&simulation, &device, short.clone());
        println!("{engine}: {:.0?}, {} ms of CPU, {} ms in the driver", next.steps, next.spent, next.driver);
        if next.steps[2] < soonest.steps[2] {
            soonest = next;
        }
        if soonest.steps[2] <= SOONEST {
            break;
        }
    }
    let [hello, opened, first] = soonest.steps;
    println!(
        "{engine}: it greets after {hello:.0?}, has opened all after {opened:.0?}, a picture after {first:.0?}"
    );
    simulation.assert_clean();
    assert!(first <= SOONEST, "{first:?} to the first picture");
}

/// One after the other: beside each other they would measure that.
#[test]
fn six_rungs_cost_little_and_start_soon() {
    check("nvidia", "l4");
    check("vaapi", "intel");
}
