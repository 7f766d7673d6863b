//! What is said when a drive came from nobody.

use app::Link;
use hyperswarm::Sought;

/// The words for a drive that came from nobody: `met` peers were connected at some time, `connected` are now, and `claiming`
/// of these say that they have it; `own_dht`: the DHT is one that was named.
pub(super) fn nobody(link: &Link, met: usize, claiming: usize, connected: usize, own_dht: bool) -> String {
    let peers = |count: usize| match count {
        1 => "1 peer".to_owned(),
        _ => format!("{count} peers"),
    };
    if claiming > 0 {
        format!(
            "{} of {link} answered, but what was sent does not verify or did not come in time: try again, or with a longer --timeout; \
             if it stays so, seed it from a machine that is known to be good",
            peers(claiming)
        )
    } else if met > 0 && connected == 0 {
        format!(
            "{} on the topic of {link} answered, and no connection lasted: what was sent does not verify, or the peer is busy or gone. \
             Try again, or run `bosc seed {link}` on the machine that has it",
            peers(met)
        )
    } else if met > 0 {
        format!(
            "{} on the topic of {link} answered, and nobody among them has it: run `bosc seed {link}` on the machine that has it",
            peers(met)
        )
    } else {
        let where_else = if own_dht {
            ", and check that both use the same --bootstrap"
        } else {
            ""
        };
        format!(
            "nobody seeds {link}, or nobody who does could be reached: run `bosc seed {link}` on the machine that has it{where_else}"
        )
    }
}

/// The words for peers that were found but not met; none if there were none.
pub(super) fn out_of_reach(link: &Link, sought: &Sought) -> Option<String> {
    let peers = match sought.found {
        0 => return None,
        1 => "1 peer".to_owned(),
        many => format!("{many} peers"),
    };
    let why = sought
        .last_failure
        .as_deref()
        .unwrap_or("they did not answer in time");
    Some(format!(
        "found {peers} of {link}, none could be reached: {why}. Try again, or with a longer --timeout; \
         if it stays so, look at the network of the machine that has it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_said_of_nobody_alone() {
        let link = Link::plain(hypercore::Key([7; 32]));
        for (met, claiming, connected, says) in [
            (1, 1, 1, "1 peer of"),
            (3, 2, 2, "2 peers of"),
            (2, 0, 0, "2 peers on the topic"),
            (2, 0, 1, "nobody among them"),
        ] {
            let text = nobody(&link, met, claiming, connected, true);
            assert!(text.contains(says) && text.contains(&link.to_string()), "{text}");
            assert!(!text.contains("nobody seeds"), "{text}");
        }
        for own_dht in [true, false] {
            let text = nobody(&link, 0, 0, 0, own_dht);
            assert!(text.contains("nobody seeds"), "{text}");
            let says = text.contains("check that both use the same --bootstrap");
            assert_eq!(says, own_dht, "{text}");
        }
    }

    #[test]
    fn peers_that_were_found_but_not_reached_are_counted_and_the_reason_is_named() {
        let link = Link::plain(hypercore::Key([7; 32]));
        assert_eq!(out_of_reach(&link, &Sought::default()), None);
        let sought = Sought {
            found: 3,
            failed: 2,
            last_failure: Some("no path".into()),
            ..Sought::default()
        };
        let text = out_of_reach(&link, &sought).unwrap();
        let begin = format!("found 3 peers of {link}, none could be reached: no path");
        assert!(text.starts_with(&begin), "{text}");
    }
}
