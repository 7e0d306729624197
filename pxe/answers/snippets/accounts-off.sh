# Removes accounts that nobody needs here, and locks those that packages would only make again.
# takes: remove= lock=
for account in $remove; do userdel "$account" 2>/dev/null || true; done
for account in $lock; do
    getent passwd "$account" >/dev/null || continue
    usermod -L -s /sbin/nologin "$account" 2>/dev/null || usermod -L "$account"
done
