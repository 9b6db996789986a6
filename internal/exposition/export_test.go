package exposition

// LimitOutdated sets the limit of outdated bytes that are still being sent.
func (h *Handler) LimitOutdated(bytes int) { h.cache.maxOutdated = bytes }

// Outdated returns how many outdated responses are still being sent.
func (h *Handler) Outdated() int {
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	return len(h.cache.outdated)
}
