//! HyperDHT: the Kademlia RPC, peer announce and lookup, relayed handshakes and hole punching.
