//! Benches: `micro/` times single functions (`cargo bench -p tidegate-benches`), `load/` compares Tidegate with other
//! proxies side by side (`benches/load/sidebyside`), `profile/` holds what release builds are optimised for. The library is
//! empty; the binary `relay` is the floor of the side-by-side bench.
