// Preloaded into fauxqs, which always listens on 0.0.0.0: keeps it on loopback.
import net from "node:net";

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (options, ...rest) {
  const everywhere = options?.host === "0.0.0.0" || options?.host === "::";
  return listen.call(this, everywhere ? { ...options, host: "127.0.0.1" } : options, ...rest);
};
