#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| registrator_fuzz::redis::run(data));
