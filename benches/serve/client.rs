//! A client that does as little as can be: one keep-alive socket, one request after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(crate) struct Client {
    socket: BufReader<TcpStream>,
    host: SocketAddr,
    line: String,
}

impl Client {
    pub(crate) fn connect(host: SocketAddr) -> Self {
        let socket = TcpStream::connect(host).expect("somebody listens");
        socket.set_nodelay(true).expect("it is a TCP socket");
        Client {
            socket: BufReader::with_capacity(64 << 10, socket),
            host,
            line: String::new(),
        }
    }

    /// The body of the answer, which must be a good one.
    pub(crate) fn get(&mut self, target: &str) -> Vec<u8> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        let sent = self.socket.get_mut().write_all(request.as_bytes());
        sent.expect("the server is there");
        let mut length = 0;
        for at in 0.. {
            self.line.clear();
            let read = self.socket.read_line(&mut self.line);
            read.expect("the server answers");
            let line = self.line.trim_end();
            assert!(at > 0 || line.ends_with("200 OK"), "{target}: {line}");
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().expect("it is a number");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.socket.read_exact(&mut body).expect("it is all there");
        body
    }
}
