package sqlite

// ApplicationID is applicationID, which a test writes to a file itself.
const ApplicationID = applicationID
