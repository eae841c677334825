use super::Stream::{Stderr, Stdout};
use super::*;

const MS: u64 = 1_000_000;

fn text(output: &Output, from: u64, filter: Option<Stream>) -> String {
    let bytes: Vec<u8> = output
        .segments(from, filter)
        .flat_map(|segment| segment.bytes.to_vec())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_new_output_costs_nothing() {
    assert_eq!(Output::new(256 * 1024).memory(), 0);
    assert_eq!(Output::new(1).segments(0, None).count(), 0);
    assert_eq!(Output::new(1).line_start_back(3, None), 0);
    assert_eq!(Output::new(1).offset_since(5), 0);
}

#[test]
fn streams_are_distinguished_and_merged_in_order() {
    let mut output = Output::new(4096);
    output.write(Stdout, b"one\n", 100 * MS);
    output.write(Stderr, b"bad\n", 101 * MS);
    output.write(Stdout, b"two\n", 102 * MS);
    output.write(Stdout, b"three\n", 103 * MS);
    assert_eq!(text(&output, 0, None), "one\nbad\ntwo\nthree\n");
    assert_eq!(text(&output, 0, Some(Stdout)), "one\ntwo\nthree\n");
    assert_eq!(text(&output, 0, Some(Stderr)), "bad\n");
    assert_eq!(text(&output, 2, Some(Stdout)), "e\ntwo\nthree\n");
    let times: Vec<u64> = output.segments(0, None).map(|s| s.time_ns / MS).collect();
    assert_eq!(times, [100, 101, 102]);
    assert_eq!(output.next_of(4, Some(Stdout)), 8);
    assert_eq!(output.next_of(8, Some(Stderr)), output.head());
}

#[test]
fn an_incomplete_line_is_known_per_stream() {
    let mut output = Output::new(4096);
    let begun = |output: &Output| (output.is_in_line(Stdout), output.is_in_line(Stderr));
    assert_eq!(begun(&output), (false, false));
    output.write(Stdout, b"one\n", 0);
    output.write(Stderr, b"ba", 1);
    assert_eq!(begun(&output), (false, true));
    output.write(Stdout, b"two", 2);
    output.write(Stderr, b"d\n", 3);
    assert_eq!(begun(&output), (true, false));
    output.write(Stdout, b"\n", 4);
    assert_eq!(begun(&output), (false, false));
}

#[test]
fn last_lines_are_found_per_stream() {
    let mut output = Output::new(4096);
    output.write(Stdout, b"one\ntwo\n", 0);
    output.write(Stderr, b"bad\nworse", 1);
    output.write(Stdout, b"thr", 2);
    output.write(Stdout, b"ee\n", 30 * MS);
    let last = |lines, filter| text(&output, output.line_start_back(lines, filter), filter);
    assert_eq!(last(0, None), "");
    assert_eq!(last(1, Some(Stdout)), "three\n");
    assert_eq!(last(2, Some(Stdout)), "two\nthree\n");
    assert_eq!(last(1, Some(Stderr)), "worse");
    assert_eq!(last(2, Some(Stderr)), "bad\nworse");
    assert_eq!(last(9, Some(Stderr)), "bad\nworse");
    assert_eq!(last(1, None), "worsethree\n");
    assert_eq!(last(2, None), "bad\nworsethree\n");
}

#[test]
fn a_line_that_lost_its_start_is_left_out() {
    let mut output = Output::new(4096);
    for n in 0..1000 {
        output.write(Stdout, format!("line {n:04}\n").as_bytes(), 0);
    }
    let tail = text(&output, output.tail(), None);
    assert!(!tail.starts_with("line"), "{}", &tail[..20]);
    for from in [output.line_start_back(9999, None), output.offset_since(0)] {
        let shown = text(&output, from, None);
        assert!(shown.starts_with("line 0"), "{}", &shown[..20]);
        assert_eq!(shown.len(), 4096 / 10 * 10);
    }
    // Half of a line is better than none of it.
    output.write(Stdout, &[b'x'; 9999], 0);
    assert_eq!(output.line_start_back(9, None), output.tail());
    output.write(Stdout, b"\n", 0);
    assert_eq!(output.line_start_back(9, None), output.tail());
}

#[test]
fn since_finds_the_first_recent_run() {
    let mut output = Output::new(4096);
    for n in 0..10u64 {
        output.write(Stdout, format!("{n}\n").as_bytes(), n * 1000 * MS);
    }
    assert_eq!(
        text(&output, output.offset_since(7000 * MS), None),
        "7\n8\n9\n"
    );
    assert_eq!(output.offset_since(0), 0);
    assert_eq!(output.offset_since(9001 * MS), output.head());
}

#[test]
fn a_steady_slow_writer_keeps_its_ring_with_coarser_times() {
    let mut output = Output::new(256 * 1024);
    for n in 0..8000u64 {
        output.write(Stdout, b"0123456789\n", n * 1000 * MS);
    }
    assert!(output.marks.len() <= MARKS_MAX);
    assert_eq!(output.tail(), 0, "nothing was dropped");
    assert_eq!(text(&output, 0, None).lines().count(), 8000);
    let since = output.offset_since(7990 * 1000 * MS);
    assert_eq!(text(&output, since, None).lines().count(), 10);
}

#[test]
fn alternating_streams_are_bounded_and_counted() {
    let mut output = Output::new(1 << 20);
    for n in 0..20_000u64 {
        let stream = if n % 2 == 0 { Stdout } else { Stderr };
        output.write(stream, b"x\n", n);
    }
    assert!(output.marks.len() <= MARKS_MAX);
    let gone = output.dropped(Some(Stdout)) + output.dropped(Some(Stderr));
    assert_eq!(gone, output.tail());
    assert_eq!(gone, output.dropped(None));
    let kept = text(&output, 0, Some(Stdout)).len() as u64;
    assert_eq!(kept + output.dropped(Some(Stdout)), 20_000);
}

#[test]
fn it_agrees_with_a_plain_list_of_bytes() {
    for seed in 1..120u64 {
        let mut state = seed;
        let mut next = move |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(99991);
            (state >> 33) % n
        };
        let mut output = Output::new(4096 + next(3000) as usize);
        let mut model: Vec<(Stream, u8)> = Vec::new();
        let mut time = 0;
        for _ in 0..300 {
            let stream = if next(3) == 0 { Stderr } else { Stdout };
            let bytes: Vec<u8> = (0..next(90)).map(|_| next(256) as u8).collect();
            time += next(9) * MS;
            output.write(stream, &bytes, time);
            model.extend(bytes.iter().map(|byte| (stream, *byte)));
        }
        let tail = output.tail() as usize;
        for filter in [None, Some(Stdout), Some(Stderr)] {
            let wanted = |(stream, _): &&(Stream, u8)| filter.is_none_or(|f| f == *stream);
            let from = next(model.len() as u64 + 1);
            let start = tail.max(from as usize);
            let expected: Vec<u8> = model[start..].iter().filter(wanted).map(|m| m.1).collect();
            let found: Vec<u8> = output
                .segments(from, filter)
                .flat_map(|segment| segment.bytes.to_vec())
                .collect();
            assert_eq!(found, expected, "seed {seed}");
            let gone = model[..tail].iter().filter(wanted).count() as u64;
            assert_eq!(output.dropped(filter), gone, "seed {seed}");
        }
    }
}
