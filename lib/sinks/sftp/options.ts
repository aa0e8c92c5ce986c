/** What tests shorten. A room of its own, so that the public types lead to no type of ssh2: it is an optional package. */

export interface SessionOptions {
  /** Milliseconds without an answer after which the server is given up. */
  stallMs?: number;
  /** Milliseconds before each new attempt when the connection is lost. */
  delays?: number[];
}
