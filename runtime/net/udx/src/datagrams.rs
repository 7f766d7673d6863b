//! How datagrams leave a socket and come in: several in one call where the system lets us, one by one where it refuses an option that
//! this takes.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// The ways of one socket.
#[derive(Debug)]
pub(crate) enum Datagrams {
    /// With all that the system offers to send and take many at once.
    Together(UdpSocketState),
    /// One call for each. What is lost beside speed: where the option not to fragment packets was refused too, a search for the path's
    /// MTU takes a size for good that routers cut into pieces. Wine 8 is so, which knows no `IP_RECVECN` and tells of an IPv4 socket
    /// nothing that is IPv6's.
    Alone,
}

impl Datagrams {
    /// Asks the system what it offers for a bound socket.
    pub(crate) fn of(io: &UdpSocket) -> Self {
        Self::granted(UdpSocketState::new(UdpSockRef::from(io)))
    }

    /// What is left when that was answered so: a system that lacks an option still carries datagrams.
    fn granted(answer: io::Result<UdpSocketState>) -> Self {
        match answer {
            Ok(state) => Self::Together(state),
            Err(error) => {
                tracing::info!(
                    %error,
                    "this system refuses a UDP option: datagrams are sent and taken one by one, which costs more of the processor"
                );
                Self::Alone
            }
        }
    }

    /// Datagrams that one call of [`try_send`](Self::try_send) may carry.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Together(state) => state.max_gso_segments(),
            Self::Alone => 1,
        }
    }

    /// Sends `contents` as datagrams of `segment` bytes, the last one maybe shorter; not more of them than [`most`](Self::most).
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::WouldBlock`] if its queue is full, and then nothing was sent.
    pub(crate) fn try_send(
        &self,
        io: &UdpSocket,
        to: SocketAddr,
        contents: &[u8],
        segment: usize,
    ) -> io::Result<()> {
        match self {
            Self::Together(state) => {
                let transmit = Transmit {
                    destination: to,
                    ecn: None,
                    contents,
                    segment_size: (contents.len() > segment).then_some(segment),
                    src_ip: None,
                };
                io.try_io(Interest::WRITABLE, || {
                    state.try_send(UdpSockRef::from(io), &transmit)
                })
            }
            Self::Alone => io.try_send_to(contents, to).map(drop),
        }
    }

    /// Takes what has come, into as many of the buffers as it fills. Returns how many those are.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing is there, or an error about a datagram sent earlier.
    pub(crate) fn try_take(
        &self,
        io: &UdpSocket,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        if let Self::Together(state) = self {
            return io.try_io(Interest::READABLE, || {
                state.recv(UdpSockRef::from(io), buffers, metas)
            });
        }
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            match io.try_recv_from(buffer) {
                Ok((length, from)) => {
                    (meta.len, meta.stride, meta.addr) = (length, length, from);
                    count += 1;
                }
                // What is wrong, if it is more than that all is taken, the next call tells.
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_option_leaves_datagrams_that_travel_alone() {
        let refused = Datagrams::granted(Err(io::Error::from(io::ErrorKind::Unsupported)));
        assert!(matches!(refused, Datagrams::Alone));
        assert_eq!(refused.most(), 1);
    }

    #[tokio::test]
    async fn datagrams_that_travel_alone_arrive_in_order_and_whole() {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (from, to) = (
            UdpSocket::bind(local).await.unwrap(),
            UdpSocket::bind(local).await.unwrap(),
        );
        let sent: Vec<Vec<u8>> = (1..=5_usize)
            .map(|number| vec![number as u8; number * 200])
            .collect();
        let goal = to.local_addr().unwrap();
        for datagram in &sent {
            from.writable().await.unwrap();
            Datagrams::Alone
                .try_send(&from, goal, datagram, datagram.len())
                .unwrap();
        }
        let mut taken = Vec::new();
        while taken.len() < sent.len() {
            to.readable().await.unwrap();
            let mut storage = [[0_u8; 2048]; 2];
            let mut buffers = storage.each_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut metas = [RecvMeta::default(); 2];
            let count = match Datagrams::Alone.try_take(&to, &mut buffers, &mut metas) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                other => other.unwrap(),
            };
            for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
                assert_eq!(meta.addr, from.local_addr().unwrap());
                assert_eq!(meta.stride, meta.len);
                taken.push(buffer[..meta.len].to_vec());
            }
        }
        assert_eq!(taken, sent);
    }
}
