package exposition

// KeepOutdated sets how many bytes may be outdated and still being sent.
func (h *Handler) KeepOutdated(bytes int) { h.cache.mostOutdated = bytes }

// Outdated returns how many outdated answers are still being sent.
func (h *Handler) Outdated() int {
	h.cache.mu.Lock()
	defer h.cache.mu.Unlock()
	return len(h.cache.outdated)
}
