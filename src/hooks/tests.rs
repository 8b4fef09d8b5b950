//! Against an application that is a socket: see the tests of the gateway for whole ones.
