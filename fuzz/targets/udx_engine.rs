//! Packets and time into the engine of a UDX stream: numbers that nearly fit, acknowledgements of what was never sent, garbage.
//! It keeps no more than it was given, sends no more than was written, its clock never stands, and no packet is too large.

#![no_main]

use arbitrary::Arbitrary;
use bosc_fuzz::live;
use libfuzzer_sys::fuzz_target;
use udx::fuzzing::{Near, Session, header};

#[derive(Debug, Arbitrary)]
enum Step {
    Near {
        kind: u8,
        data_offset: u8,
        window: u32,
        seq: i16,
        ack: i16,
        sacks: Vec<(i16, i16)>,
        data: Vec<u8>,
    },
    /// As an honest peer would: in turn, all acknowledged.
    InTurn(Vec<u8>, bool),
    Raw(Vec<u8>),
    Write(u16),
    Read(u16),
    Finish,
    Destroy,
    Abandon,
    KeepAlive(u16),
    Micros(u16),
    Millis(u16),
    Transmit(bool),
}

/// More packets than the window holds are never sent at once.
const MOST_AT_ONCE: usize = 4096;
/// The largest packet that path discovery tries.
const LARGEST: usize = 1500;

fuzz_target!(|steps: Vec<Step>| {
    let before = live();
    let mut session = Session::default();
    let (mut fed, mut read, mut received) = (0, 0, 0);
    for step in steps.iter().take(200) {
        match step {
            Step::Near {
                kind,
                data_offset,
                window,
                seq,
                ack,
                sacks,
                data,
            } => {
                received += data.len() + 8 * sacks.len();
                fed += 2048 + 32 * sacks.len() + 4 * data.len();
                session.near(&Near {
                    kind: *kind,
                    data_offset: *data_offset,
                    window: *window,
                    seq: *seq,
                    ack: *ack,
                    sacks: sacks.clone(),
                    data: data.clone(),
                });
            }
            Step::InTurn(data, end) => {
                received += data.len();
                fed += 2048 + 4 * data.len();
                session.near(&Near {
                    kind: 1 | u8::from(*end) << 1,
                    data_offset: 0,
                    window: 1 << 20,
                    seq: 0,
                    ack: 0,
                    sacks: Vec::new(),
                    data: data.clone(),
                });
            }
            Step::Raw(bytes) => {
                if let Some(again) = header(bytes) {
                    assert!(bytes.starts_with(&again));
                }
                received += bytes.len();
                fed += 2048 + 4 * bytes.len();
                session.datagram(bytes);
            }
            Step::Write(length) => {
                let taken = session.write((*length).into());
                // Bytes, doubled as the buffer grows, and a packet's record for each few.
                fed += 1024 + 8 * taken;
            }
            Step::Read(most) => read += session.read((*most).into()),
            Step::Finish => session.finish(),
            Step::Destroy => session.destroy(),
            Step::Abandon => session.abandon(),
            Step::KeepAlive(millis) => session.keep_alive(u64::from(*millis) * 1000),
            Step::Micros(by) => advance(&mut session, (*by).into()),
            Step::Millis(by) => advance(&mut session, u64::from(*by) * 1000),
            Step::Transmit(partial) => transmit(&mut session, *partial),
        }
        assert!(read <= received, "read what nobody sent");
        let kept = live().wrapping_sub(before) as isize;
        assert!(kept <= (64 * 1024 + fed) as isize, "{kept} bytes kept for {fed}");
    }
});

fn transmit(session: &mut Session, partial: bool) {
    let packets = session.transmit(partial, MOST_AT_ONCE);
    assert!(packets.len() < MOST_AT_ONCE, "it never stops to send");
    for packet in packets {
        assert!(header(&packet).is_some());
        assert!(packet.len() <= LARGEST, "{} bytes", packet.len());
    }
}

/// Time passes as the driver lets it pass: what is due is done, what may be sent is sent.
fn advance(session: &mut Session, by: u64) {
    session.advance(by);
    transmit(session, true);
    // The driver waits for what is due, and never comes round without anything done.
    for _ in 0..8 {
        if session.due_in() != Some(0) {
            return;
        }
        session.advance(0);
        transmit(session, true);
    }
    panic!("a timer is due that nothing is done about");
}
