#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vde_store::testing::fuzz_log(data));
