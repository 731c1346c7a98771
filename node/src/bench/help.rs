//! What `eppctl bench --help` says, and the form of the report.

/// The text of `--help`.
pub const HELP: &str = r"eppctl bench: ext_proc load on a picker, as Envoy would make it

  eppctl bench --target HOST:PORT (--rate R | --concurrency N) [flags]

Plays Envoy: a few HTTP/2 connections, and on them one Process stream for each request in
FULL_DUPLEX_STREAMED mode. Sends headers and body, waits for the pick, plays the model server's
answer, and holds every answer of the picker against what was sent. Ends by itself.

Load
  --target HOST:PORT            the picker
  --plaintext                   HTTP/2 without TLS; certificates are never verified
  --connections N               each on a thread of its own (2)
  --rate R                      requests a second, however slowly they are answered
  --arrivals poisson|uniform    how they are spread (poisson)
  --concurrency N               instead of a rate: so many at a time
  --duration D                  how long to measure (15s)
  --warm-up D                   load before that (2s, and the time that one answer plays)
  --timeout D                   for a request, beyond the time that its answer plays (10s)
  --in-flight-max N             more are not sent, but counted as not_sent (10000)
  --seed N                      equal seeds give equal loads (1)

Requests
  --profile P                   short: 200 tokens in, 100 out; medium: 10,000 and 1,000;
                                long: 100,000 and 1,000; bodyless: GET (short)
  --input-tokens N              4 bytes of prompt each
  --output-tokens N             one event and one message each; one with the usage follows
  --token-gap D                 between two tokens; 0 sends them at once (0)
  --time-to-first-token D       from the end of the request to the answer's headers (0)
  --conversations N             different prompts (64)
  --shared-prefix RATIO         of a prompt, equal in all requests of its conversation (0.9)
  --model NAME                  (sim/llama)
  --client http1|http2          of the gateway: decides how Envoy cuts a request's body (http2)
  --chunk-bytes N               of body in a message, at most (16KiB; 1MiB with http1)
  --observation full|off|any    does the picker stay for the answer? (full)

Measurement
  --pid P                       a process whose CPU time and memory to measure; may be repeated
  --idle D                      watch those processes for so long before the load (0)
  --output text|json            (text)

Durations: 250us, 20ms, 1.5s, 1m. The exit code is 0 if every request was answered as it should
be, 1 if not, 2 if the run could not be made.

The JSON report. Requests, latencies, messages and bytes are those of the requests that were due
in the measured window; times that end in _us are microseconds.
  target, seed, connections, plaintext
  load         {rate, arrivals} or {concurrency}
  profile      {input_tokens (null: bodyless), output_tokens, token_gap_us,
               time_to_first_token_us, conversations, shared_prefix, client, chunk_bytes}
  observation  full, off or any
  window_s     length of the measured window
  requests     due; completed; failed; not_sent (too many in flight);
               unobserved (the picker left after the request); sent_late (more than 1 ms after
               they were due); finished_in_window, whenever due; per_second (of those)
  latency_us   each {count, mean, p50, p90, p99, p99_9, max}, null without a value:
               pick            from the last chunk of the request sent to the header answer
               pick_since_due  from when the request was due to the header answer, so that a
                               stalled picker or generator cannot hide what it delayed
               exchange        from when the request was due to the end of the stream
               token           from a token sent to its echo, if tokens are spaced
               send_delay      from when a request was due to its being sent
  messages, bytes   {sent, received}: gRPC messages and their length
  picks        requests by picked endpoint, at most 1,024 endpoints
  errors       by kind: {count, first}; first is the first one's text
  warm_up_errors    the number of errors of requests that were due before the window
  processes    for each --pid: pid; command; cpu_us_per_request, user_share;
               cores (CPU time over the window); idle_cores (null without --idle);
               cpu_us_per_request_above_idle (null without --idle); rss_bytes at the end of the
               window, rss_peak_bytes within it, rss_peak_ever_bytes
  generator    the same about the generator itself, with pid and command of its own
CPU time per request is that of the window over finished_in_window.
";
