//! A program, so that there are unit tests of a program as well.

fn main() {
    println!("{}", leaky::double(1));
}

#[cfg(test)]
mod tests {
    use std::mem::forget;
    use std::net::UdpSocket;

    #[test]
    fn socket_of_the_program() {
        forget(UdpSocket::bind("127.0.0.1:0").unwrap()); // leaks here: socket_of_the_program
    }

    #[test]
    fn socket_of_the_program_released() {
        drop(UdpSocket::bind("127.0.0.1:0").unwrap());
    }
}
