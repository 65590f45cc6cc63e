//! A crash-safe disk engine in one container file whose writers of different keys never wait for each other.
