//! What the kernel says of a process (proc(5)).

/// Clock ticks a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Linux has on servers.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time, user and system, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Most memory resident at once, in MB of 10^6 bytes.
    pub(crate) peak_mb: f64,
    /// Memory resident now, in MB.
    pub(crate) resident_mb: f64,
}

/// What process `pid` has used; none where it has ended.
pub(crate) fn of(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let megabytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? * 1024.0 / 1e6)
    };
    Some(Usage {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        peak_mb: megabytes("VmHWM:")?,
        resident_mb: megabytes("VmRSS:")?,
    })
}
