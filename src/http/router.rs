//! Which path leads where. Paths are compared exactly: no slash is added, taken away or decoded.

use http::Method;

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Route {
    Page,
    Script,
    WebSocket,
    EventStream,
    Publish,
    Channel,
    Slow,
    Api,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Admin,
    AdminEvents,
    AdminAction,
    AdminFile,
}

/// What a method and a path lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find {
    Route(Route),
    /// There is something at the path, but not for this method.
    WrongMethod {
        route: Route,
        /// The methods there are, as `Allow` lists them (RFC 9110 section 10.2.1).
        allow: &'static str,
    },
    Nothing,
}

impl Route {
    pub(super) const ALL: [Route; 16] = [
        Route::Page,
        Route::Script,
        Route::WebSocket,
        Route::EventStream,
        Route::Publish,
        Route::Channel,
        Route::Slow,
        Route::Api,
        Route::Health,
        Route::Ready,
        Route::Metrics,
        Route::OpenApi,
        Route::Admin,
        Route::AdminEvents,
        Route::AdminAction,
        Route::AdminFile,
    ];

    /// The row: the path, and the methods. hyper leaves out the body of an answer to HEAD.
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Route::Page => ("/", "GET, HEAD"),
            Route::Script => ("/fanfare.js", "GET, HEAD"),
            Route::WebSocket => ("/ws", "GET"),
            Route::EventStream => ("/sse", "GET"),
            Route::Publish => ("/publish", "POST"),
            Route::Channel => ("/channel", "GET, HEAD"),
            Route::Slow => ("/api/slow", "GET, HEAD"),
            Route::Api => ("/api/{method}", "POST"),
            Route::Health => ("/health", "GET, HEAD"),
            Route::Ready => ("/ready", "GET, HEAD"),
            Route::Metrics => ("/metrics", "GET, HEAD"),
            Route::OpenApi => ("/openapi.json", "GET, HEAD"),
            Route::Admin => ("/admin", "GET, HEAD"),
            Route::AdminEvents => ("/admin/events", "GET"),
            Route::AdminAction => ("/admin/do/{action}", "POST"),
            Route::AdminFile => ("/admin/{file}", "GET, HEAD"),
        }
    }

    /// Its path, as metrics and logs name it.
    pub(super) const fn path(self) -> &'static str {
        self.row().0
    }

    /// Whether it belongs to the admin page.
    pub(super) const fn is_admin(self) -> bool {
        matches!(self, Route::Admin | Route::AdminEvents | Route::AdminAction | Route::AdminFile)
    }

    /// Its methods, as `Allow` lists them.
    pub(super) const fn allow(self) -> &'static str {
        self.row().1
    }
}

impl Find {
    /// What metrics and logs name it: never what was asked for, which could be anything.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Find::Route(route) | Find::WrongMethod { route, .. } => route.path(),
            Find::Nothing => "other",
        }
    }
}

/// Before the method of the API.
const API: &str = "/api/";

/// Before what the admin page can do.
const ADMIN_ACTION: &str = "/admin/do/";

/// Before its files, and what it looks at.
const ADMIN_FILE: &str = "/admin/";

/// The method of the API that a path names.
pub(super) fn api_method(path: &str) -> &str {
    path.strip_prefix(API).unwrap_or_default()
}

/// What answers `method` at `path`.
pub(super) fn find(method: &Method, path: &str) -> Find {
    let is_here = |route: &Route| match route {
        Route::Api => path.starts_with(API),
        Route::AdminAction => path.starts_with(ADMIN_ACTION),
        Route::AdminFile => path.starts_with(ADMIN_FILE),
        route => path == route.path(),
    };
    let Some(route) = Route::ALL.into_iter().find(is_here) else { return Find::Nothing };
    let allow = route.allow();
    match allow.split(", ").any(|allowed| allowed == method.as_str()) {
        true => Find::Route(route),
        false => Find::WrongMethod { route, allow },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_at_its_path() {
        for (at, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at, "Route::ALL is in order");
            let path = route.path().replace(['{', '}'], "");
            let method = route.allow().split(", ").next().unwrap().parse().unwrap();
            assert_eq!(find(&method, &path), Find::Route(route), "{path}");
        }
    }

    #[test]
    fn paths_are_exact() {
        for path in ["", "/ws/", "//ws", "/WS", "/%77s", "/api", "/index.html", "/healthz", "*"] {
            assert_eq!(find(&Method::GET, path), Find::Nothing, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        for (method, path, allow) in [
            (Method::GET, "/publish", "POST"),
            (Method::GET, "/api/publish", "POST"),
            (Method::POST, "/ws", "GET"),
            (Method::HEAD, "/ws", "GET"),
            (Method::OPTIONS, "/", "GET, HEAD"),
        ] {
            let found = find(&method, path);
            assert!(matches!(found, Find::WrongMethod { allow: told, .. } if told == allow));
            assert_ne!(found.name(), "other");
        }
        assert_eq!(find(&Method::HEAD, "/health"), Find::Route(Route::Health));
    }

    #[test]
    fn the_method_of_the_api_is_what_stands_behind_it() {
        assert_eq!(api_method("/api/publish"), "publish");
        assert_eq!(api_method("/api/a/b"), "a/b");
        assert_eq!(api_method("/api/"), "");
    }
}
