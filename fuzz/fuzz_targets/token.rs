#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| defender_scan_exporter::fuzzing::run("token", data));
