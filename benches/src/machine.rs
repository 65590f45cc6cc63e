//! The machine on which figures are measured.

use std::{fs, process::Command, thread};

/// The processor, as it calls itself. Virtual machines often hide its name. Then the number of its model tells it from others.
pub fn processor() -> String {
    named(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// The name of the processor in the text of `/proc/cpuinfo`.
fn named(info: &str) -> String {
    let value = |key: &str| {
        info.lines()
            .find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key))
            .map(|(_, value)| value.trim())
    };
    match (value("model name"), value("model")) {
        (Some("Intel(R) Xeon(R) Processor"), Some(model)) => format!("Intel Xeon (model {model})"),
        (Some(name), _) => name.to_owned(),
        (None, _) => "unknown processor".to_owned(),
    }
}

/// How many threads can run at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The operating system and processor family.
pub fn system() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH)
}

/// The first line that a command prints, or nothing if there is no such command.
pub fn said(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_processor_without_a_name_has_a_number() {
        let info = |name| format!("processor\t: 0\nmodel\t\t: 207\nmodel name\t: {name}\nstepping\t: 2\n");
        assert_eq!(named(&info("AMD EPYC")), "AMD EPYC");
        assert_eq!(named(&info("Intel(R) Xeon(R) Processor")), "Intel Xeon (model 207)");
        assert_eq!(named(""), "unknown processor");
    }
}
