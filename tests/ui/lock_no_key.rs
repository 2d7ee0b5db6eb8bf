fn main() {
    let locker = dlock::Locker::connect_blocking("memory:").unwrap();
    let _ = locker.lock(1.5);
    let _ = locker.lock_all([std::net::Ipv4Addr::LOCALHOST]);
}
