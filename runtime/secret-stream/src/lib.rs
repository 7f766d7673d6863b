//! Noise handshakes and the encrypted, message-framed stream that every Hyperswarm connection is.
