package httpserver

// LimitConnections sets the limit of open connections.
func (s *Server) LimitConnections(n int) { s.conns.limit = n }

// Close aborts all requests.
func (s *Server) Close() { s.close() }
