//! Whether this machine runs on its battery, as far as the system tells.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where Linux lists what a machine is powered by.
const SUPPLIES: &str = "/sys/class/power_supply";
/// Longest value that is read there, in bytes; each is one word.
const MAX_VALUE: u64 = 64;

/// Whether the machine runs on its battery; `None` where the system does not say. May wait for the hardware's answer.
pub(crate) fn on_battery() -> Option<bool> {
    read(Path::new(SUPPLIES))
}

/// `None` if there is no such folder, as outside of Linux.
fn read(supplies: &Path) -> Option<bool> {
    let mut discharging = false;
    for supply in std::fs::read_dir(supplies).ok()?.flatten() {
        let value = |name| value(&supply.path().join(name)).unwrap_or_default();
        // A mouse has a battery as well.
        if value("scope") == "Device" {
            continue;
        }
        match value("type").as_str() {
            "Battery" | "UPS" => discharging |= value("status") == "Discharging",
            _ if value("online") == "1" => return Some(false),
            _ => {}
        }
    }
    Some(discharging)
}

fn value(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_VALUE).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_laptop_is_on_its_battery_while_that_discharges_and_no_charger_is_there() {
        let battery = |status| vec![("type", "Battery"), ("status", status)];
        let charger = |kind, online| vec![("type", kind), ("online", online)];
        let mouse = vec![
            ("type", "Battery"),
            ("status", "Discharging"),
            ("scope", "Device"),
        ];
        for (supplies, expected) in [
            (vec![], false),
            (vec![mouse.clone()], false),
            (vec![battery("Discharging"), charger("Mains", "0")], true),
            (vec![battery("Discharging"), mouse], true),
            (vec![battery("Charging"), charger("Mains", "1")], false),
            // Two batteries, of which one is emptied although the charger is in.
            (
                vec![battery("Full"), battery("Discharging"), charger("USB", "1")],
                false,
            ),
            (
                vec![battery("Full"), battery("Discharging"), charger("USB", "0")],
                true,
            ),
            (vec![battery("Unknown")], false),
            (vec![vec![("type", "UPS"), ("status", "Discharging")]], true),
            // Nothing that can be read says nothing.
            (vec![vec![("type", "Mains")], vec![]], false),
        ] {
            let temp = tempfile::tempdir().unwrap();
            for (number, supply) in supplies.iter().enumerate() {
                let folder = temp.path().join(number.to_string());
                fs::create_dir(&folder).unwrap();
                for (name, value) in supply {
                    fs::write(folder.join(name), format!("{value}\n")).unwrap();
                }
            }
            assert_eq!(read(temp.path()), Some(expected), "{supplies:?}");
        }
        assert_eq!(read(Path::new("/nowhere/at/all")), None);
    }
}
