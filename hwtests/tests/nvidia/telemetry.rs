//! NVIDIA's own client of NVML (PyPI's nvidia-ml-py) reads what a running ffmpeg does.

use std::process::{Command, Stdio};
use std::time::Duration;

use hwtests::pictures::FFMPEG;
use hwtests::simulation::run;
use hwtests::{Simulation, natural_clip};
use test_support::wait::poll;

fn python(simulation: &Simulation) -> Command {
    let python = hwtests::root().join("target/nvidia-ml-py/bin/python");
    assert!(python.exists(), "{} is not there: make deps", python.display());
    simulation.nvidia(python.to_str().expect("a path of text"))
}

const LOOK: &str = "
from pynvml import *
nvmlInit()
print(nvmlSystemGetDriverVersion(), nvmlDeviceGetCount())
d = nvmlDeviceGetHandleByIndex(0)
print(nvmlDeviceGetName(d), nvmlDeviceGetUUID(d), nvmlDeviceGetPciInfo(d).busId)
print('encoder', nvmlDeviceGetEncoderUtilization(d)[0], 'decoder', nvmlDeviceGetDecoderUtilization(d)[0])
for s in nvmlDeviceGetEncoderSessions(d):
    print('session', s.pid, s.hResolution, s.vResolution, s.codecType)
m = nvmlDeviceGetMemoryInfo(d)
print('memory', m.used, m.total)
print('health', nvmlDeviceGetTemperature(d, 0) < 90, nvmlDeviceGetPowerUsage(d) > 10000,
      nvmlDeviceGetClockInfo(d, NVML_CLOCK_VIDEO) > 500, nvmlDeviceGetCurrentClocksThrottleReasons(d))
nvmlShutdown()
";

#[test]
fn utilisation_and_live_sessions_are_read_during_a_run() {
    let simulation = Simulation::of("l4", "encode_units = 1\nencode_mpx_s = 1");
    let mut python = python(&simulation);
    let mut command = simulation.nvidia(FFMPEG);
    // 640x360 is 0.23 Mpx: four a second at 1 Mpx/s, which a client keeps up with however late it is served, so that the
    // one engine is busy all the time.
    command.args(["-v", "error", "-stream_loop", "-1", "-i"]).arg(natural_clip());
    command.args(["-an", "-vf", "scale=640:360", "-c:v", "h264_nvenc", "-bf", "0", "-f", "null", "-"]);
    let mut ffmpeg = command.stdin(Stdio::piped()).spawn().expect("ffmpeg runs");
    python.args(["-c", LOOK]);
    let mut said = String::new();
    let busy = poll(Duration::from_secs(30), || {
        said = String::from_utf8_lossy(&run(&mut python).stdout).into_owned();
        let encoder = said.split("encoder ").nth(1).and_then(|rest| rest.split(' ').next());
        let percent: u32 = encoder.and_then(|text| text.parse().ok()).expect("a number");
        (percent > 80).then_some(())
    });
    let pid = ffmpeg.id();
    ffmpeg.kill().expect("it runs");
    ffmpeg.wait().expect("it ends");
    assert!(said.contains("Simulated NVIDIA L4"), "{said}");
    assert!(said.contains(&format!("session {pid} 640 360 0")), "{said}");
    assert!(busy.is_some(), "the engine is not busy: {said}");
    assert!(said.contains("health True True True 0"), "{said}");
    assert!(!said.contains("memory 0 "), "{said}");
    // The killed process's session is gone, and is known to have been left.
    let report = simulation.report();
    assert!(report.devices[0].sessions.is_empty());
    assert_eq!(report.devices[0].counters["SessionsAbandoned"], 1);
}

#[test]
fn a_loss_is_an_event_with_its_xid_and_then_the_gpu_is_lost() {
    const WAIT: &str = "
from pynvml import *
nvmlInit()
d = nvmlDeviceGetHandleByIndex(0)
s = nvmlEventSetCreate()
nvmlDeviceRegisterEvents(d, nvmlEventTypeXidCriticalError, s)
print('waiting', flush=True)
e = nvmlEventSetWait_v2(s, 20000)
print('xid', e.eventData)
try:
    nvmlDeviceGetName(d)
except NVMLError as e:
    print('status', e.value)
";
    let simulation = Simulation::of("l4", "");
    let mut waiting =
        python(&simulation).args(["-c", WAIT]).stdout(Stdio::piped()).spawn().expect("python runs");
    let mut said = std::io::BufReader::new(waiting.stdout.take().expect("piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).expect("text");
    assert_eq!(line, "waiting\n");
    simulation.state().lose(0, 79);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut said, &mut rest).expect("text");
    assert!(waiting.wait().expect("it ends").success());
    assert_eq!(rest, "xid 79\nstatus 15\n");
}
