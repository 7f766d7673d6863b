//! Two muxes back to back.

use proptest::prelude::*;

use super::*;

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

/// A batch for one channel: `count` messages of type 0, each with `payload`.
fn batch(channel: u8, count: usize, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![payload.len() as u8 + 1, 0];
    message.extend_from_slice(payload);
    [vec![0, 0, channel], message.repeat(count)].concat()
}

/// A mux with the peer's channel 1 paired.
fn paired() -> (Mux, ChannelId) {
    let mut mux = Mux::new();
    let channel = mux.open("x", b"", b"");
    mux.receive(&Bytes::from_static(&[0, 1, 1, 1, b'x', 0])).unwrap();
    assert_eq!(events(&mut mux).len(), 1);
    (mux, channel)
}

#[test]
fn a_frame_of_a_million_messages_is_decoded_as_they_are_taken() {
    let (mut mux, channel) = paired();
    let count = 1_000_000;
    mux.receive(&batch(1, count, b"").into()).unwrap();
    let mut taken = 0;
    while let Some(event) = mux.poll_event() {
        assert_eq!(
            event,
            Event::Message {
                channel,
                kind: 0,
                payload: Bytes::new()
            }
        );
        taken += 1;
        assert!(mux.events.len() <= 4096, "{} events in memory", mux.events.len());
    }
    assert_eq!(taken, count, "none is refused or lost");
}

#[test]
fn whoever_feeds_in_without_looking_is_told() {
    let (mut mux, _) = paired();
    let frame = Bytes::from(batch(1, 4_000_000, b""));
    let result = (0..8).try_for_each(|_| mux.receive(&frame));
    assert_eq!(result, Err(MuxError::Overrun));
}

#[test]
fn a_fault_deep_in_a_frame_is_told_once_it_is_reached() {
    let (mut mux, _) = paired();
    let mut frame = batch(1, 10_000, b"");
    frame.push(200);
    mux.receive(&frame.into()).unwrap();
    assert_eq!(events(&mut mux).len(), 10_000);
    assert_eq!(mux.check(), Err(MuxError::Malformed));
    assert_eq!(
        mux.receive(&Bytes::from_static(&[1, 0])),
        Err(MuxError::Malformed)
    );
    assert!(!mux.has_backlog());
}

#[test]
fn all_that_an_unopened_channel_holds_is_counted() {
    let open = |number: u8, id: usize, handshake: usize| -> Bytes {
        let mut frame = vec![0, 1, number, 1, b'x', 0xfd, id as u8, (id >> 8) as u8];
        frame.resize(frame.len() + id + handshake, 7);
        frame.into()
    };
    for (id, handshake) in [(0, 300_000), (60_000, 0)] {
        let mut mux = Mux::new();
        let result = (1..100).try_for_each(|number| mux.receive(&open(number, id, handshake)));
        assert_eq!(result, Err(MuxError::TooMuchPending), "{id} {handshake}");
    }
    // A message without a payload costs its entry.
    let mut mux = Mux::new();
    let mut frames: Vec<Bytes> = (1..100).map(|number| open(number, 0, 0)).collect();
    frames.extend((1..100).map(|number| batch(number, 1000, b"").into()));
    let result = frames.iter().try_for_each(|frame| mux.receive(frame));
    assert_eq!(result, Err(MuxError::TooMuchPending));
    // What is answered or withdrawn costs nothing any more.
    let mut mux = Mux::new();
    for round in 0..100 {
        mux.receive(&open(1, 0, 300_000)).unwrap();
        mux.receive(&batch(1, 1000, b"early").into()).unwrap();
        match round % 2 {
            0 => mux.reject("x", b""),
            _ => mux.receive(&Bytes::from_static(&[0, 3, 1])).unwrap(),
        }
    }
}

#[test]
fn a_small_message_does_not_keep_the_large_frame_it_came_in() {
    let (mut mux, _) = paired();
    let frame = Bytes::from(batch(1, 4000, b"small"));
    mux.receive(&frame).unwrap();
    mux.receive(&Bytes::from([&[0, 1, 2, 1, b'y', 0][..], &[1; 9000]].concat()))
        .unwrap();
    let early = Bytes::from(batch(2, 1000, b"early"));
    mux.receive(&early).unwrap();
    let kept = events(&mut mux);
    assert!(frame.is_unique() && early.is_unique(), "{} events", kept.len());
}

#[test]
fn requests_that_come_and_go_cost_the_same_however_much_is_queued() {
    let (mut mux, _) = paired();
    mux.receive(&batch(1, 4000, b"").into()).unwrap();
    // A thousand others wait, so that whoever searches among them shows.
    for number in 2..1000u16 {
        let [low, high] = number.to_le_bytes();
        let open = [0, 1, 0xfd, low, high, 1, b'y', 2, low, high];
        mux.receive(&Bytes::copy_from_slice(&open)).unwrap();
    }
    let [low, high] = 1000u16.to_le_bytes();
    let pair = [
        &[8, 1, 0xfd, low, high, 1, b'z', 1, 1][..],
        &[4, 3, 0xfd, low, high],
    ]
    .concat();
    let frame = [vec![0, 0, 0], pair.repeat(60_000)].concat();
    let start = std::time::Instant::now();
    let mut requests = 0;
    for _ in 0..10 {
        mux.receive(&frame.clone().into()).unwrap();
        let told = events(&mut mux);
        let is_request = |event: &&Event| matches!(event, Event::Requested { .. });
        requests += told.iter().filter(is_request).count();
        mux.receive(&batch(1, 4000, b"").into()).unwrap();
    }
    // One that was told of before its withdrawal was looked at is no harm.
    assert!((998..1_300).contains(&requests), "{requests} told");
    assert_eq!(mux.check(), Ok(()));
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}

#[test]
fn the_peer_cannot_make_us_refuse_channel_zero_without_end() {
    let mut mux = Mux::new();
    let open = [5, 1, 0, 1, b'x', 0];
    let frame = [vec![0, 0, 0], open.repeat(10_000)].concat();
    mux.receive(&frame.into()).unwrap();
    assert!(mux.outgoing.len() == 1 && mux.poll_outgoing().is_some());
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

#[test]
fn a_channels_number_is_not_used_anew_while_its_events_wait() {
    let (mut a, mut b) = (Mux::new(), Mux::new());
    let on_a = a.open("p", b"old", b"");
    let on_b = b.open("p", b"old", b"");
    exchange(&mut a, &mut b);
    assert_eq!((events(&mut a).len(), events(&mut b).len()), (1, 1));
    // One frame asks for a channel, speaks on another and ends that: its end comes after the request.
    let new_on_a = a.open("p", b"new", b"");
    a.send(on_a, 0, b"last words");
    a.close(on_a);
    exchange(&mut a, &mut b);
    assert!(matches!(b.poll_event(), Some(Event::Requested { .. })));
    let new_on_b = b.open("p", b"new", b"");
    assert_ne!(new_on_b, on_b);
    let of = |event: Event| match event {
        Event::Message { channel, .. } | Event::Closed { channel } | Event::Opened { channel, .. } => channel,
        Event::Requested { .. } => panic!("asked once"),
    };
    let channels: Vec<ChannelId> = events(&mut b).into_iter().map(of).collect();
    assert_eq!(channels, [on_b, on_b, new_on_b]);
    exchange(&mut a, &mut b);
    assert!(events(&mut a).into_iter().any(|event| of(event) == new_on_a));
    // Once they were taken, it is.
    assert_eq!(b.open("p", b"newer", b""), on_b);
}
