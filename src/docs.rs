//! Guides, one a module. They are the pages of `src/docs`, which can be read there as well; a test runs
//! every command in them.
//!
//! | page | for whom |
//! |---|---|
//! | [`embedding`] | a hub in your own hyper or axum program |
//! | [`protocol`] | what goes over the wire: plain, JSON, server-sent events |
//! | [`client`] | the module for browsers and Node.js |
//! | [`moving`] | coming from a gorilla hub, from ws, from socket.io |
//! | [`deploying`] | an image, a unit of systemd, the description for programs |
//! | [`tokens`] | who may come in: tokens, their keys, key sets that rotate |
//! | [`hooks`] | the application is asked, and told |
//! | [`limits`] | what one peer can take at most, and what it sees |
//! | [`operating`] | starting, draining, restarting, proxies |
//! | [`admin`] | the page that shows a node |
//! | [`metrics`] | every number, a dashboard, alerts |
//! | [`tuning`] | each knob: what it costs and what it gives |
//! | [`architecture`] | the way of one publication through the files |

#[doc = include_str!("docs/admin.md")]
pub mod admin {}
#[doc = include_str!("docs/architecture.md")]
pub mod architecture {}
#[doc = include_str!("docs/client.md")]
pub mod client {}
#[doc = include_str!("docs/deploying.md")]
pub mod deploying {}
#[doc = include_str!("docs/embedding.md")]
pub mod embedding {}
#[doc = include_str!("docs/hooks.md")]
pub mod hooks {}
#[doc = include_str!("docs/limits.md")]
pub mod limits {}
#[doc = include_str!("docs/metrics.md")]
pub mod metrics {}
#[doc = include_str!("docs/moving.md")]
pub mod moving {}
#[doc = include_str!("docs/operating.md")]
pub mod operating {}
#[doc = include_str!("docs/protocol.md")]
pub mod protocol {}
#[doc = include_str!("docs/tokens.md")]
pub mod tokens {}
#[doc = include_str!("docs/tracing.md")]
pub mod tracing {}
#[doc = include_str!("docs/tuning.md")]
pub mod tuning {}
