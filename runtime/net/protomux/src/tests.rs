//! Two muxes back to back.

use super::*;
use proptest::prelude::*;

fn exchange(a: &mut Mux, b: &mut Mux) {
    loop {
        let (from_a, from_b) = (a.poll_outgoing(), b.poll_outgoing());
        if from_a.is_none() && from_b.is_none() {
            return;
        }
        from_a.into_iter().for_each(|frame| b.receive(&frame).unwrap());
        from_b.into_iter().for_each(|frame| a.receive(&frame).unwrap());
    }
}

fn events(mux: &mut Mux) -> Vec<Event> {
    std::iter::from_fn(|| mux.poll_event()).collect()
}

#[test]
fn frames_are_upstreams() {
    let mut mux = Mux::new();
    let channel = mux.open("p", b"id", b"hs");
    assert_eq!(
        mux.poll_outgoing().unwrap(),
        [0, 1, 1, 1, b'p', 2, b'i', b'd', b'h', b's'][..]
    );
    mux.send(channel, 3, b"xy");
    assert_eq!(mux.poll_outgoing().unwrap(), [1, 3, b'x', b'y'][..]);
    mux.send(channel, 3, b"x");
    mux.send(channel, 4, b"");
    mux.close(channel);
    assert_eq!(
        mux.poll_outgoing().unwrap(),
        [0, 0, 1, 2, 3, b'x', 1, 4, 0, 0, 2, 3, 1][..]
    );
    assert!(mux.poll_outgoing().is_none());
}

#[test]
fn a_request_is_answered_and_early_messages_are_kept() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    let on_a = a.open("proto", b"id", b"from a");
    a.send(on_a, 0, b"early");
    exchange(&mut a, &mut b);
    assert_eq!(
        events(&mut b),
        [Event::Requested {
            protocol: "proto".into(),
            id: Bytes::from_static(b"id")
        }]
    );
    let on_b = b.open("proto", b"id", b"from b");
    exchange(&mut a, &mut b);
    assert_eq!(
        events(&mut b),
        [
            Event::Opened {
                channel: on_b,
                handshake: Bytes::from_static(b"from a")
            },
            Event::Message {
                channel: on_b,
                kind: 0,
                payload: Bytes::from_static(b"early")
            },
        ]
    );
    assert_eq!(
        events(&mut a),
        [Event::Opened {
            channel: on_a,
            handshake: Bytes::from_static(b"from b")
        }]
    );
    b.close(on_b);
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [Event::Closed { channel: on_a }]);
    assert!(!a.is_open("proto", b"id") && !b.is_open("proto", b"id"));
    // The numbers are used again.
    let again = a.open("proto", b"id", b"");
    assert_eq!(again, on_a);
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut b).len(), 1);
}

#[test]
fn crossing_opens_pair_up() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    a.open("x", b"", b"");
    b.open("x", b"", b"");
    exchange(&mut a, &mut b);
    assert!(matches!(events(&mut a)[..], [Event::Opened { .. }]));
    assert!(matches!(events(&mut b)[..], [Event::Opened { .. }]));
}

#[test]
fn a_rejected_channel_closes() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    let channel = a.open("x", b"", b"");
    exchange(&mut a, &mut b);
    b.reject("x", b"");
    exchange(&mut a, &mut b);
    assert_eq!(events(&mut a), [Event::Closed { channel }]);
    assert_eq!(a.open("x", b"", b""), channel);
}

#[test]
fn a_close_that_crosses_the_answer_frees_the_number_only_then() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    let first = a.open("x", b"", b"");
    exchange(&mut a, &mut b);
    let on_b = b.open("x", b"", b"");
    a.close(first);
    let second = a.open("y", b"", b"");
    assert_ne!(first, second);
    exchange(&mut a, &mut b);
    assert!(events(&mut b).contains(&Event::Closed { channel: on_b }));
    assert!(events(&mut a).is_empty());
    assert_eq!(a.open("z", b"", b""), first);
    exchange(&mut a, &mut b);
}

#[test]
fn floods_are_refused() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    (0..5000u32).for_each(|i| {
        a.open("x", &i.to_le_bytes(), b"");
    });
    let result = std::iter::from_fn(|| a.poll_outgoing()).try_for_each(|frame| b.receive(&frame));
    assert_eq!(result, Err(MuxError::TooMuchPending));
    let (mut a, mut b) = (Mux::new(), Mux::new());
    let channel = a.open("x", b"", b"");
    (0..40).for_each(|_| a.send(channel, 0, &[0; 50_000]));
    let result = std::iter::from_fn(|| a.poll_outgoing()).try_for_each(|frame| b.receive(&frame));
    assert_eq!(result, Err(MuxError::TooMuchPending));
}

proptest! {
    #[test]
    fn garbage_never_panics(frames: Vec<Vec<u8>>) {
        let mut mux = Mux::new();
        let channel = mux.open("x", b"", b"");
        mux.receive(&Bytes::from_static(&[0, 1, 1, 1, b'x', 0])).unwrap();
        for frame in frames {
            let _ = mux.receive(&frame.into());
        }
        mux.send(channel, 1, b"still here");
        prop_assert!(mux.poll_outgoing().is_some());
    }

    #[test]
    fn messages_arrive_in_order(messages in proptest::collection::vec((0u64..300, proptest::collection::vec(any::<u8>(), 0..400), any::<bool>()), 0..50)) {
        let (mut a, mut b) = (Mux::new(), Mux::new());
        let pairs = ["one", "two"].map(|name| (a.open(name, b"", b""), b.open(name, b"", b"")));
        exchange(&mut a, &mut b);
        events(&mut b);
        for (kind, payload, which) in &messages {
            a.send(pairs[usize::from(*which)].0, *kind, payload);
        }
        exchange(&mut a, &mut b);
        let expected: Vec<_> = messages.iter().map(|(kind, payload, which)| Event::Message {
            channel: pairs[usize::from(*which)].1, kind: *kind, payload: payload.clone().into(),
        }).collect();
        prop_assert_eq!(events(&mut b), expected);
    }
}
