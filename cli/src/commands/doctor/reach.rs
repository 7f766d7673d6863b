//! Whether the DHT can be reached, and if not, which of the reasons it is.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use dht::Node;
use futures::future::join_all;
use serde_json::json;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::report::Finding;

const STEP: &str = "bootstrap";

/// How long a host may take to say that nothing listens at its port.
const REFUSAL: Duration = Duration::from_secs(2);

/// What comes back from an address where no node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// This machine has no way there.
    NoRoute,
    /// This machine's firewall lets no UDP out.
    Forbidden,
    /// The host says that nothing listens there.
    NobodyThere,
    /// The host is there, and UDP to it or from it is lost.
    UdpLost,
    /// Nothing comes back at all.
    Nothing,
}

/// Asks each bootstrap node. True if one answers.
pub(super) async fn bootstrap(node: &Node, named: &[String]) -> (Finding, bool) {
    let nodes = node.bootstrap();
    let list = if named.is_empty() {
        "the public nodes".to_owned()
    } else {
        named.join(", ")
    };
    if nodes.is_empty() {
        let advice = "look at this machine's network and DNS, or name nodes by address with --bootstrap";
        let text = format!("the names of {list} cannot be resolved");
        return (Finding::bad(STEP, text, advice), false);
    }
    let answers = join_all(nodes.iter().map(|address| node.answers(*address))).await;
    let fastest = answers.iter().flatten().min();
    let data = json!({ "nodes": nodes.len(), "answered": answers.iter().flatten().count(), "fastestMs": fastest.map(Duration::as_millis) });
    if let Some(fastest) = fastest {
        let text = format!(
            "{} of {} answer, the fastest in {:.1} ms",
            answers.iter().flatten().count(),
            nodes.len(),
            fastest.as_secs_f64() * 1000.0
        );
        return (Finding::good(STEP, text).with(data), true);
    }
    let silences = join_all(nodes.iter().map(|address| silence(*address))).await;
    // What says most: a host that answers otherwise, before one that may not exist.
    let order = [
        Silence::Forbidden,
        Silence::UdpLost,
        Silence::NobodyThere,
        Silence::NoRoute,
        Silence::Nothing,
    ];
    let found = order.into_iter().find(|kind| silences.contains(kind));
    let (text, advice) = explain(found.unwrap_or(Silence::Nothing), &list);
    (Finding::bad(STEP, text, advice).with(data), false)
}

fn explain(silence: Silence, list: &str) -> (String, String) {
    let (text, advice) = match silence {
        Silence::NoRoute => (
            format!("this machine has no way to {list}: it is offline"),
            "connect it to a network",
        ),
        Silence::Forbidden => (
            format!("UDP is blocked on this machine: its firewall lets nothing out to {list}"),
            "allow outgoing UDP for this program",
        ),
        Silence::UdpLost => (
            format!(
                "UDP is blocked on the way: the host of {list} is there, and no UDP packet comes through"
            ),
            "peer to peer needs UDP: ask whoever runs this network, or try another one",
        ),
        Silence::NobodyThere => (
            format!("no DHT node runs at {list}: its host says that nothing listens there"),
            "check --bootstrap, or start one there with `bosc dht`",
        ),
        Silence::Nothing => (
            format!("nothing comes back from {list}: the host is down, or everything to it is blocked"),
            "check --bootstrap, and whether this machine is online",
        ),
    };
    (text, advice.to_owned())
}

/// Finds out what a silence is: a connected UDP socket hears what hosts and the system say of its packets, and a TCP
/// connection, though nobody takes it, is refused by a host that is there.
async fn silence(address: SocketAddrV4) -> Silence {
    if let Some(found) = udp(address).await {
        return found;
    }
    match timeout(REFUSAL, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Silence::UdpLost,
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Silence::UdpLost,
        _ => Silence::Nothing,
    }
}

async fn udp(address: SocketAddrV4) -> Option<Silence> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    let mut answer = [0; 16];
    let probe = async {
        socket.connect(address).await?;
        // An empty packet is no message to a DHT node.
        socket.send(&[]).await?;
        socket.recv(&mut answer).await
    };
    match timeout(REFUSAL, probe).await {
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused => Some(Silence::NobodyThere),
            ErrorKind::PermissionDenied => Some(Silence::Forbidden),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Some(Silence::NoRoute),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_told_from_one_where_udp_is_lost() {
        let none = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let free = none.local_addr().unwrap().port();
        // Somebody takes the packets and says nothing, as where they are lost; TCP is refused.
        let here = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(silence(here(free)).await, Silence::UdpLost);
        drop(none);
        assert_eq!(silence(here(free)).await, Silence::NobodyThere);
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let kinds = [
            Silence::NoRoute,
            Silence::Forbidden,
            Silence::NobodyThere,
            Silence::UdpLost,
            Silence::Nothing,
        ];
        let texts: std::collections::HashSet<String> = kinds
            .into_iter()
            .map(|kind| explain(kind, "10.0.0.1:4").0)
            .collect();
        assert!(texts.len() == kinds.len() && texts.iter().all(|text| text.contains("10.0.0.1:4")));
    }
}
