"""What other programs that train on exports lack: parts for a user to import. `duplexgen` itself uses none of them."""
