//! UDX: reliable, congestion-controlled streams over UDP, wire compatible with libudx (npm `udx-native`).
