//! IPv4 addresses inside messages, beside what [`base::wire`] reads and writes: four address bytes and a port, little endian (npm
//! compact-encoding, `ipv4Address`).

use std::net::{Ipv4Addr, SocketAddrV4};

use base::wire::{DecodeError, Reader, Writer};

/// Reads addresses.
pub(crate) trait ReadAddress: Sized {
    fn address(&mut self) -> Result<SocketAddrV4, DecodeError>;
    /// A counted list of them.
    fn addresses(&mut self) -> Result<Vec<SocketAddrV4>, DecodeError>;
}

impl ReadAddress for Reader<'_> {
    fn address(&mut self) -> Result<SocketAddrV4, DecodeError> {
        let ip: [u8; 4] = self.fixed()?;
        Ok(SocketAddrV4::new(Ipv4Addr::from(ip), self.u16()?))
    }

    fn addresses(&mut self) -> Result<Vec<SocketAddrV4>, DecodeError> {
        self.list(6, Self::address)
    }
}

/// Writes addresses.
pub(crate) trait WriteAddress {
    fn address(&mut self, address: SocketAddrV4) -> &mut Self;
    /// A counted list of them.
    fn addresses(&mut self, addresses: &[SocketAddrV4]) -> &mut Self;
}

impl WriteAddress for Writer {
    fn address(&mut self, address: SocketAddrV4) -> &mut Self {
        self.raw(&address.ip().octets()).u16(address.port())
    }

    fn addresses(&mut self, addresses: &[SocketAddrV4]) -> &mut Self {
        self.list(addresses, |w, address| w.address(*address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_longer_than_the_message_are_refused() {
        let mut w = Writer::new();
        w.uint(11).raw(&[1; 60]);
        assert_eq!(Reader::new(&w.finish()).addresses(), Err(DecodeError));
    }
}
