package httpserver

// Most sets how many connections there are at a time.
func (s *Server) Most(connections int) { s.conns.most = connections }
