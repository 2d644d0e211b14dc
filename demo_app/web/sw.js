// Keeps all files of this build, so that the page works without a connection after the first visit. The list is written
// when the page is built: path -> the beginning of its SHA-256.
const FILES = /* FILES */ {};
