//! Traces.

use super::{Key, Kind, int, key, ms, number, text};

#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("traces.otlp_url", Kind::Text, |_| None,
        "Where sampled publications are exported to, by OTLP over HTTP in JSON. Without it nothing is \
         sampled.")
        .example("\"http://127.0.0.1:4318/v1/traces\""),
    key("traces.headers", Kind::SecretList, |_| None,
        "Headers of each request to it.")
        .example("[\"Authorization: Bearer ...\"]"),
    key("traces.ca_file", Kind::Text, |_| None,
        "The authorities, in PEM, that the server at traces.otlp_url needs a certificate of. By \
         default those of the machine.")
        .example("\"/etc/fanfare/ca.pem\""),
    number("traces.sample_per_million", (0, 1_000_000),
        |s| int(s.traces.options.sample_per_million),
        "Of a million publications without a traceparent so many are sampled. One with a traceparent is \
         sampled if that is."),
    number("traces.sampled_per_s_max", (1, 1_000_000),
        |s| int(s.traces.options.sampled_per_s_max),
        "Publications that are sampled in a second at the most, whatever their traceparent says."),
    number("traces.queue_spans_max", (64, 1 << 20), |s| int(s.traces.options.queue_spans_max),
        "Spans that wait to be exported. Beyond it those of whole publications are dropped and counted; \
         nothing waits for a collector. Memory: some 200 bytes each."),
    number("traces.timeout_ms", (100, 60_000), |s| ms(s.traces.limits.timeout),
        "How long a request to the collector may take in all, and how long the end of the process waits \
         for the last ones."),
    key("traces.service_name", Kind::Text, |s| text(&s.traces.service_name),
        "The name of the service that spans are of."),
    key("traces.channel_names", Kind::Switch, |s| Some(s.traces.channel_names.into()),
        "Whether spans name the channel. They never hold anything of a message."),
];
